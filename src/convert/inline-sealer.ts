/** Seals chunks in the calling thread. */
import { sealChunk } from "../crypto/chunk-seal.ts";
import type { Salt } from "../crypto/salt.ts";
import type { Store } from "../store/store.ts";
import type { ChunkSealer, StoredChunk } from "./chunk-sealer.ts";

/** A sealer without threads: for small work, and where no thread can be had. */
export class InlineSealer implements ChunkSealer {
  readonly depth = 2;
  readonly #store: Store;
  readonly #salt: Salt;

  constructor(store: Store, salt: Salt) {
    this.#store = store;
    this.#salt = salt;
  }

  async seal(plain: Uint8Array): Promise<StoredChunk> {
    const { plainDigest, key, name, sealed } = sealChunk(plain, this.#salt);
    const outcome = await this.#store.putChunk(name, sealed);
    return { plainDigest, key, name, outcome, spent: plain.fill(0) };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
