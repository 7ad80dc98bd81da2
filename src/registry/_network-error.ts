/** Errors of sockets, TLS and HTTP in our words. */
import { LambdaImgError } from "../base/error.ts";

/** Where a request goes, for messages: the host and port, and the proxy if there is one; never a path or query. */
export function networkError(cause: unknown, where: string): Error {
  if (!(cause instanceof Error)) return new Error(String(cause));
  if (cause instanceof LambdaImgError) return cause;
  const reason = "code" in cause ? String(cause.code) : "";
  const details = { host: where, reason };
  if (/CERT|ISSUER|LEAF_SIGNATURE|^INVALID_(?:CA|PURPOSE)$|HOSTNAME_MISMATCH/.test(reason)) {
    const hint = "for a certificate authority of your own give --ca FILE";
    return new LambdaImgError(
      "REGISTRY_UNTRUSTED",
      `${where}: its certificate is not trusted (${reason}); ${hint}`,
      { details, cause },
    );
  }
  if (reason === "ENOTFOUND") {
    return new LambdaImgError("SOURCE_NOT_FOUND", `${where}: there is no host of that name`, {
      details,
      cause,
    });
  }
  if (reason === "EPROTO" || reason.startsWith("ERR_SSL") || reason.startsWith("ERR_TLS")) {
    const hint = "for plain HTTP give --insecure-registry";
    return new LambdaImgError(
      "REGISTRY_INVALID",
      `${where}: does not speak TLS as we do (${reason}); ${hint}`,
      {
        details,
        cause,
      },
    );
  }
  if (reason.startsWith("HPE_")) {
    return new LambdaImgError("REGISTRY_INVALID", `${where}: does not speak HTTP (${reason})`, {
      details,
      cause,
    });
  }
  return new LambdaImgError(
    "REGISTRY_UNAVAILABLE",
    `${where}: the connection failed (${reason === "" ? cause.name : reason})`,
    { details, cause },
  );
}

/** Nothing was heard for too long. */
export function timeoutError(where: string, what: string, timeoutMs: number): LambdaImgError {
  return new LambdaImgError("REGISTRY_UNAVAILABLE", `${where}: ${what} for ${timeoutMs / 1000} s`, {
    details: { host: where, reason: "timeout", timeoutMs },
  });
}
