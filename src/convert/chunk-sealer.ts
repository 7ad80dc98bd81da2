/** The contract of what seals chunks and puts them into the store, and what it keeps of each. */
import { assert } from "../base/error.ts";
import { DIGEST_BYTES, chunkNameAt, chunkNameBytes, type ChunkName } from "../chunk/chunk.ts";
import type { PutOutcome } from "../store/store.ts";

/** A chunk that is in the store, though not yet durable. The key is secret. */
export interface StoredChunk {
  readonly plainDigest: Uint8Array;
  readonly key: Uint8Array;
  readonly name: ChunkName;
  readonly outcome: PutOutcome;
  /** The plain chunk's memory, the caller's again, all zero. */
  readonly spent: Uint8Array;
}

/** Seals and puts chunks, several at a time. */
export interface ChunkSealer {
  /** How many calls of `seal` may be under way before more only cost memory. */
  readonly depth: number;
  /**
   * Seals a plain chunk that is not all zero and puts it into the store. The bytes are the sealer's until this resolves.
   * @throws what Store.putChunk throws
   */
  seal(plain: Uint8Array): Promise<StoredChunk>;
  /** Ends its threads. Calls under way fail. Can be called again. */
  close(): Promise<void>;
}

/** What is known of a run of chunks by their ordinals: 96 bytes each, and nothing for zero chunks. */
export class ChunkLedger {
  #facts = new Uint8Array(0);
  #isStored = new Uint8Array(0);
  #length = 0;

  /** Says what a chunk is stored as. */
  set(
    ordinal: number,
    chunk: { readonly plainDigest: Uint8Array; readonly key: Uint8Array; readonly name: ChunkName },
  ): void {
    this.#grow(ordinal + 1);
    const at = ordinal * FACT_BYTES;
    this.#isStored[ordinal] = 1;
    this.#facts.set(chunk.plainDigest, at);
    this.#facts.set(chunk.key, at + DIGEST_BYTES);
    this.#facts.set(chunkNameBytes(chunk.name), at + 2 * DIGEST_BYTES);
  }

  /** Says that a chunk is zero after all. */
  clear(ordinal: number): void {
    if (ordinal < this.#length) this.#isStored[ordinal] = 0;
  }

  /** Views of what is known, or `undefined` for a zero chunk. */
  get(ordinal: number): { plainDigest: Uint8Array; key: Uint8Array; name: ChunkName } | undefined {
    if (this.#isStored[ordinal] !== 1) return undefined;
    const at = ordinal * FACT_BYTES;
    assert(at + FACT_BYTES <= this.#facts.length, "a stored chunk has its facts");
    return {
      plainDigest: this.#facts.subarray(at, at + DIGEST_BYTES),
      key: this.#facts.subarray(at + DIGEST_BYTES, at + 2 * DIGEST_BYTES),
      name: chunkNameAt(this.#facts, at + 2 * DIGEST_BYTES),
    };
  }

  /** One more than the last ordinal that was set. */
  get length(): number {
    return this.#length;
  }

  /** A ledger of its own with the same content. */
  copy(): ChunkLedger {
    const copy = new ChunkLedger();
    copy.#facts = this.#facts.slice();
    copy.#isStored = this.#isStored.slice();
    copy.#length = this.#length;
    return copy;
  }

  #grow(length: number): void {
    this.#length = Math.max(this.#length, length);
    if (length <= this.#isStored.length) return;
    const room = Math.max(length, 2 * this.#isStored.length, LEDGER_ROOM_MIN);
    const facts = new Uint8Array(room * FACT_BYTES);
    facts.set(this.#facts);
    this.#facts = facts;
    const isStored = new Uint8Array(room);
    isStored.set(this.#isStored);
    this.#isStored = isStored;
  }
}

const LEDGER_ROOM_MIN = 64;
const FACT_BYTES = 3 * DIGEST_BYTES;
