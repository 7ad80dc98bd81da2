/** Hosts that are this machine: no network lies between, so plain HTTP is as good as TLS. */

/** True for localhost, 127.0.0.0/8 and ::1. */
export function isLoopback(url: URL): boolean {
  return (
    url.hostname === "localhost" || url.hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
  );
}
