/** Hashing of a layer's tar while it is read, in this thread or wherever its bytes are sent. */
import { DigestBuilder, type Digest } from "../base/digest.ts";

/** Hashes one tar. Close it when it is of no use any more. */
export interface TarHasher {
  /**
   * Takes the next bytes. Without a promise it has done with their memory; else that has to stay as it is until the promise resolves. Where
   * threads share the memory, more may be given before, and the last promises resolve with `finish` or `close`; else wait for each.
   * @throws what breaks the thread that hashes, as `finish` does then
   */
  update(bytes: Uint8Array): Promise<void> | undefined;
  /**
   * The digest of all that was taken; call it once.
   * @throws what breaks the thread that hashes
   */
  finish(): Promise<Digest>;
  /** Ends it, with a digest or without: a `finish` that has not resolved yet fails. Can be called again. */
  close(): void;
}

/** Hashes in the calling thread. */
export class TarHasherHere implements TarHasher {
  readonly #builder: DigestBuilder;

  constructor(algorithm: "sha256" | "sha512") {
    this.#builder = new DigestBuilder(algorithm);
  }

  update(bytes: Uint8Array): undefined {
    this.#builder.update(bytes);
  }

  finish(): Promise<Digest> {
    return Promise.resolve(this.#builder.finish());
  }

  close(): void {
    // Nothing is kept for it, and nothing is under way.
  }
}
