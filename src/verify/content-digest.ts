/**
 * A digest of a file's content that costs what the content stores, not what its size says: holes and blocks of
 * zeros count alike and are never hashed. Both sides of a comparison must make it; it is stored nowhere.
 */
import { isAllZero, viewOf } from "../base/bytes.ts";
import { DigestBuilder, sha256Digest } from "../base/digest.ts";
import { assert } from "../base/error.ts";

const BLOCK_BYTES = 4096;

/**
 * Takes the parts of a content in ascending order; what no part covers is zero. The digest is that of three
 * things: the size, the blocks of 4096 bytes that are not all zero, and where these stand. The last block is
 * filled up with zeros.
 */
export class ContentDigestBuilder {
  readonly #blocks: DigestBuilder = new DigestBuilder();
  readonly #runs: DigestBuilder = new DigestBuilder();
  /** A block that comes in parts, and its ordinal. */
  #partial: Uint8Array | undefined;
  #partialBlock = -1;
  #runStart = 0;
  #runEnd = 0;
  #endBytes = 0;

  /** Takes the next bytes, which stand at `offsetBytes`; they are read before it returns. */
  add(offsetBytes: number, bytes: Uint8Array): void {
    assert(offsetBytes >= this.#endBytes, "parts of a content ascend");
    this.#endBytes = offsetBytes + bytes.length;
    let at = offsetBytes;
    let rest = bytes;
    while (rest.length > 0) {
      const within = at % BLOCK_BYTES;
      const isWhole = within === 0 && rest.length >= BLOCK_BYTES;
      const sizeBytes = isWhole
        ? rest.length - (rest.length % BLOCK_BYTES)
        : Math.min(BLOCK_BYTES - within, rest.length);
      const block = (at - within) / BLOCK_BYTES;
      if (isWhole) this.#addBlocks(block, rest.subarray(0, sizeBytes));
      else this.#addPart(block, within, rest.subarray(0, sizeBytes));
      at += sizeBytes;
      rest = rest.subarray(sizeBytes);
    }
  }

  /** The digest of a content of this size; call it once. */
  finish(sizeBytes: number): string {
    assert(this.#endBytes <= sizeBytes, "no part of a content lies past its end");
    this.#endPartial();
    this.#endRun();
    const lines = `size ${sizeBytes}\nblocks ${this.#blocks.finish()}\nruns ${this.#runs.finish()}\n`;
    return sha256Digest(new TextEncoder().encode(lines));
  }

  #addPart(block: number, within: number, bytes: Uint8Array): void {
    if (block !== this.#partialBlock) {
      this.#endPartial();
      this.#partialBlock = block;
      this.#partial = new Uint8Array(BLOCK_BYTES);
    }
    this.#partial?.set(bytes, within);
  }

  #endPartial(): void {
    const partial = this.#partial;
    this.#partial = undefined;
    if (partial !== undefined) this.#addNonZero(this.#partialBlock, partial);
  }

  #addBlocks(firstBlock: number, bytes: Uint8Array): void {
    this.#endPartial();
    if (isAllZero(bytes)) return;
    let from = 0;
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      if (!isAllZero(bytes.subarray(at, at + BLOCK_BYTES))) continue;
      this.#addRun(firstBlock + from / BLOCK_BYTES, bytes.subarray(from, at));
      from = at + BLOCK_BYTES;
    }
    this.#addRun(firstBlock + from / BLOCK_BYTES, bytes.subarray(from));
  }

  #addNonZero(block: number, bytes: Uint8Array): void {
    if (!isAllZero(bytes)) this.#addRun(block, bytes);
  }

  /** Whole blocks none of which is zero. */
  #addRun(firstBlock: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (firstBlock !== this.#runEnd) {
      this.#endRun();
      this.#runStart = firstBlock;
    }
    this.#runEnd = firstBlock + bytes.length / BLOCK_BYTES;
    this.#blocks.update(bytes);
  }

  #endRun(): void {
    if (this.#runEnd === this.#runStart) return;
    const pair = new Uint8Array(16);
    viewOf(pair).setBigUint64(0, BigInt(this.#runStart), true);
    viewOf(pair).setBigUint64(8, BigInt(this.#runEnd), true);
    this.#runs.update(pair);
    this.#runStart = this.#runEnd;
  }
}
