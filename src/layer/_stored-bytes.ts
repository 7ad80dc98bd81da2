/** A layer's bytes as stored, with size and digest verified at their end. */
import { DigestBuilder, digestAlgorithm, type DiffId, type Digest } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";

/** What is known of a layer before it is read; a LayerDescriptor of source/ is one. */
export interface StoredLayer {
  readonly diffId: DiffId;
  readonly stored: { readonly digest: Digest; readonly sizeBytes: number } | undefined;
  readonly label: string;
}

/** Reads at most the expected size, and the piece in which it is passed. */
export class StoredBytes {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #layer: StoredLayer;
  readonly #digest: DigestBuilder | undefined;
  #sizeBytes = 0;
  #isDone = false;

  constructor(bytes: AsyncIterable<Uint8Array>, layer: StoredLayer) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#layer = layer;
    this.#digest =
      layer.stored === undefined ? undefined : new DigestBuilder(digestAlgorithm(layer.stored.digest));
  }

  /** The bytes. Stopping early leaves the rest to drain(). */
  async *pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const piece = await this.#next();
      if (piece === undefined) return;
      yield piece;
    }
  }

  /**
   * Reads what is left, for the digest.
   * @throws SIZE_MISMATCH, DIGEST_MISMATCH
   */
  async drain(): Promise<void> {
    while ((await this.#next()) !== undefined);
  }

  /** Closes the source's stream where it has not ended. */
  async close(): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    await this.#iterator.return?.();
  }

  async #next(): Promise<Uint8Array | undefined> {
    if (this.#isDone) return undefined;
    const step = await this.#pull();
    if (step.done === true) {
      this.#isDone = true;
      this.#verify();
      return undefined;
    }
    const piece = step.value;
    this.#sizeBytes += piece.length;
    const { stored, label } = this.#layer;
    if (stored !== undefined && this.#sizeBytes > stored.sizeBytes) {
      await this.close();
      throw new LambdaImgError(
        "SIZE_MISMATCH",
        `${label}: size mismatch: expected ${stored.sizeBytes} bytes as stored, found at least ${this.#sizeBytes}`,
        { details: { expected: stored.sizeBytes, found: this.#sizeBytes } },
      );
    }
    this.#digest?.update(piece);
    return piece;
  }

  async #pull(): Promise<IteratorResult<Uint8Array, unknown>> {
    try {
      return await this.#iterator.next();
    } catch (error) {
      this.#isDone = true; // An iterator that has thrown is closed already.
      throw error;
    }
  }

  #verify(): void {
    const { stored, label } = this.#layer;
    if (stored === undefined || this.#digest === undefined) return;
    if (this.#sizeBytes !== stored.sizeBytes) {
      throw new LambdaImgError(
        "SIZE_MISMATCH",
        `${label}: size mismatch: expected ${stored.sizeBytes} bytes as stored, found ${this.#sizeBytes}`,
        { details: { expected: stored.sizeBytes, found: this.#sizeBytes } },
      );
    }
    const found = this.#digest.finish();
    if (found === stored.digest) return;
    throw new LambdaImgError(
      "DIGEST_MISMATCH",
      `${label}: digest mismatch: expected ${stored.digest} as stored, found ${found}`,
      { details: { expected: stored.digest, found } },
    );
  }
}
