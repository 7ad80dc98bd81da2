/** The contract of what seals chunks and puts them into the store, and what it keeps of each. */
import { assert } from "../base/error.ts";
import { DIGEST_BYTES, chunkNameAt, chunkNameBytes, type ChunkName } from "../chunk/chunk.ts";
import type { SegmentContent } from "../segment/segment-record.ts";
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
    this.#facts.set(chunk.key, at + KEY_OFFSET);
    this.#facts.set(chunkNameBytes(chunk.name), at + NAME_OFFSET);
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
      key: this.#facts.subarray(at + KEY_OFFSET, at + KEY_OFFSET + DIGEST_BYTES),
      name: chunkNameAt(this.#facts, at + NAME_OFFSET),
    };
  }

  /** Takes over all that another ledger says, from `firstOrdinal` on, where this one says nothing yet. */
  addAll(other: ChunkLedger, firstOrdinal: number): void {
    const length = other.#length;
    if (length === 0) return;
    this.#grow(firstOrdinal + length);
    this.#isStored.set(other.#isStored.subarray(0, length), firstOrdinal);
    this.#facts.set(other.#facts.subarray(0, length * FACT_BYTES), firstOrdinal * FACT_BYTES);
  }

  /** The names of the stored chunks, in their order; a name comes as often as it is there. */
  *names(): Generator<ChunkName> {
    for (let ordinal = 0; ordinal < this.#length; ordinal++) {
      if (this.#isStored[ordinal] === 1) yield chunkNameAt(this.#facts, ordinal * FACT_BYTES + NAME_OFFSET);
    }
  }

  /** The stored chunks as a layer's record has them, in memory of their own. */
  stored(): Omit<SegmentContent, "chunkCount" | "entries"> {
    const ordinals = new Uint32Array(this.#isStored.reduce((count, is) => count + is, 0));
    const names = new Uint8Array(ordinals.length * DIGEST_BYTES);
    const keys = new Uint8Array(ordinals.length * DIGEST_BYTES);
    const plainDigests = new Uint8Array(ordinals.length * DIGEST_BYTES);
    let position = 0;
    for (let ordinal = 0; ordinal < this.#length; ordinal++) {
      if (this.#isStored[ordinal] !== 1) continue;
      const at = ordinal * FACT_BYTES;
      const to = position * DIGEST_BYTES;
      ordinals[position++] = ordinal;
      plainDigests.set(this.#facts.subarray(at, at + DIGEST_BYTES), to);
      keys.set(this.#facts.subarray(at + KEY_OFFSET, at + KEY_OFFSET + DIGEST_BYTES), to);
      names.set(this.#facts.subarray(at + NAME_OFFSET, at + NAME_OFFSET + DIGEST_BYTES), to);
    }
    return { ordinals, names, keys, plainDigests };
  }

  /** One more than the last ordinal that was set. */
  get length(): number {
    return this.#length;
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
/** Plain digest, key and name of a chunk. */
const KEY_OFFSET = DIGEST_BYTES;
const NAME_OFFSET = 2 * DIGEST_BYTES;
const FACT_BYTES = 3 * DIGEST_BYTES;
