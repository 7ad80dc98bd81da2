/** What the tests of the transport share. */
import { afterAll, afterEach, beforeAll, describe } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { Transport, type HttpResponse, type TransportSettings } from "../../src/registry/transport.ts";
import {
  startServer,
  type Handler,
  type LoopbackServer,
  type ServerCertificate,
} from "../support/faulty-proxy.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { hasOpenssl, makeCertificates } from "../support/registry.ts";

/** Run after each test, last first. */
export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

export function transport(settings: Partial<TransportSettings> = {}): Transport {
  const made = new Transport({
    certificateAuthorities: [],
    insecureHosts: [],
    variables: {},
    timeouts: { connectMs: 5000, idleMs: 5000 },
    ...settings,
  });
  cleanups.push(() => {
    made.close();
  });
  return made;
}

export async function serve(handler: Handler, certificate?: ServerCertificate): Promise<LoopbackServer> {
  const server = await startServer(handler, certificate);
  cleanups.push(() => server.close());
  return server;
}

export function get(
  through: Transport,
  url: string,
  more: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<HttpResponse> {
  return through.request({ method: "GET", url: new URL(url), headers: {}, ...more });
}

export async function textOf(response: HttpResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body) pieces.push(piece);
  return Buffer.from(concatBytes(...pieces)).toString();
}

/** As `describe`, for tests that need certificates; they are there while its tests run. */
export function describeTls(
  name: string,
  body: (certificates: () => ReturnType<typeof makeCertificates>) => void,
): void {
  describe.skipIf(!hasOpenssl)(name, () => {
    const folder = temporaryDirectory();
    let certificates: ReturnType<typeof makeCertificates>;
    beforeAll(() => {
      certificates = makeCertificates(folder.path);
    });
    afterAll(() => {
      folder.remove();
    });
    body(() => certificates);
  });
}

export async function failure(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => undefined,
    (error: unknown) => error,
  );
}
