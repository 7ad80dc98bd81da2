// ⚡ uses: network
/** NBD_OPT_STARTTLS: TLS on a connection that is already open. */
import type { Duplex } from "node:stream";
import tls from "node:tls";

import { LambdaImgError } from "../base/error.ts";
import type { NbdTls } from "./export.ts";

/** Makes streams of clients secure, with one set of certificates. */
export class TlsUpgrade {
  readonly isRequired: boolean;
  readonly #options: tls.TlsOptions;

  /** @throws USAGE_INVALID where key and certificate cannot be used */
  constructor(settings: NbdTls) {
    const { certificate, privateKey, clientAuthorities, isRequired } = settings;
    this.isRequired = isRequired;
    this.#options = {
      cert: certificate,
      key: privateKey,
      // proto.md, "TLS versions": 1.2 MUST be there, older ones SHOULD NOT.
      minVersion: "TLSv1.2",
      ...(clientAuthorities === undefined
        ? {}
        : { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true }),
    };
    try {
      tls.createSecureContext(this.#options);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new LambdaImgError("USAGE_INVALID", `TLS: key and certificate cannot be used: ${reason}`, {
        cause: error,
      });
    }
  }

  /**
   * Has the TLS handshake on a paused stream, of which nothing has been read that belongs to it. Gives the secure
   * stream in its place.
   * @throws NBD_PROTOCOL where the handshake fails, or the client shows no certificate that is asked for
   */
  upgrade(socket: Duplex): Promise<Duplex> {
    // A tls.Server that does not listen is Node's way to have client certificates judged.
    const server = tls.createServer(this.#options);
    // Half a TLS handshake is none: a client that ends its side is gone.
    socket.allowHalfOpen = false;
    return new Promise((resolve, reject) => {
      const fail = (error?: Error): void => {
        const reason = error?.message ?? "the client is gone";
        reject(new LambdaImgError("NBD_PROTOCOL", `TLS: ${reason}`, { cause: error }));
      };
      server.once("secureConnection", resolve);
      server.once("tlsClientError", fail);
      socket.once("close", () => {
        fail();
      });
      server.emit("connection", socket);
    });
  }
}
