/**
 * The nearest tier: plain chunks in memory, verified and opened, so that reading them again takes neither a digest nor a
 * cipher. One for all disk images of a process: images that share a chunk share its memory. docs/cache.md.
 */
import { toHex } from "../base/bytes.ts";
import { assert } from "../base/error.ts";
import { sha256 } from "../base/digest.ts";
import { Lru2Map } from "../base/lru-k.ts";
import { CHUNK_BYTES, DIGEST_BYTES } from "../chunk/chunk.ts";
import type { Fill, Lookup, LookupObserver } from "../chunk/lookup-observer.ts";
import { chunkKeyAt } from "../crypto/chunk-seal.ts";
import type { ManifestContent } from "../manifest/manifest.ts";

declare const openChunkName: unique symbol;

/** What an open chunk is found by: it follows from the chunk's name and from its key, and tells neither. */
export type OpenChunkName = string & { readonly [openChunkName]: true };

/**
 * The name of the chunk at a place of a manifest's table. A manifest that has the same name with another key gets
 * nothing that was opened for this one.
 */
export function openChunkNameAt(content: ManifestContent, position: number): OpenChunkName {
  const nameAndKey = new Uint8Array(2 * DIGEST_BYTES);
  nameAndKey.set(content.names.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES));
  nameAndKey.set(chunkKeyAt(content.keys, position), DIGEST_BYTES);
  return toHex(sha256(nameAndKey)) as OpenChunkName;
}

/** Told to observers as they are, since a hit is too short to be measured or to allocate for. */
const HIT: Lookup = { tier: "memory", outcome: "hit", seconds: 0, sizeBytes: CHUNK_BYTES };
const MISS: Lookup = { tier: "memory", outcome: "miss", seconds: 0, sizeBytes: 0 };
const STORED: Fill = { tier: "memory", outcome: "stored", sizeBytes: CHUNK_BYTES };

/** Chunks that are open, as many as `maxBytes` holds; which are dropped, base/lru-k.ts decides. */
export class OpenChunks {
  readonly #chunks: Lru2Map<Uint8Array>;
  readonly #observer: LookupObserver | undefined;

  /** `maxBytes` is that of one chunk at least. */
  constructor({ maxBytes, observer }: { readonly maxBytes: number; readonly observer?: LookupObserver }) {
    assert(maxBytes >= CHUNK_BYTES, "there is room for a chunk");
    this.#chunks = new Lru2Map(Math.floor(maxBytes / CHUNK_BYTES));
    this.#observer = observer;
  }

  /** How many chunks there is room for. */
  get chunkCountMax(): number {
    return this.#chunks.keysMax;
  }

  /** Bytes of the chunks that are open. */
  get sizeBytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  /** As `get`, but no visit, and nobody counts it. */
  peek(name: OpenChunkName): Uint8Array | undefined {
    return this.#chunks.peek(name);
  }

  /** The plain chunk, if it is open; a visit. The memory is shared by all who read it: do not write to it. */
  get(name: OpenChunkName): Uint8Array | undefined {
    const plain = this.#chunks.get(name);
    this.#observer?.looked(plain === undefined ? MISS : HIT);
    return plain;
  }

  /** Takes a plain chunk, verified. With `isAhead` nobody has asked for it yet. */
  add(name: OpenChunkName, plain: Uint8Array, options: { readonly isAhead: boolean }): void {
    if (!this.#chunks.has(name)) this.#observer?.filled(STORED);
    this.#chunks.add(name, plain, options);
  }
}
