/** Exports of a store in memory. */
import { LambdaImgError } from "../../src/base/error.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { manifestIdOf, type ManifestId } from "../../src/manifest/manifest-id.ts";
import { ChunkGuard } from "../../src/serve/chunk-guard.ts";
import { ImageExports, type ImageExportsOptions } from "../../src/serve/image-exports.ts";
import type { ListedRef, RecordPlace, UnreadableRef } from "../../src/store/store.ts";
import { TestTimers } from "../nbd/serving.ts";
import { makeChunkDisk, type ChunkDisk } from "../support/chunk-disk.ts";

const KEY = asCustomerKey(new Uint8Array(32).fill(7));

/** A store in memory with two manifests, and names that the test sets. */
export class MemoryStore {
  readonly disks: readonly ChunkDisk[] = [makeChunkDisk(2, [0, 1]), makeChunkDisk(3, [1])];
  readonly manifests: Map<ManifestId, Uint8Array> = new Map(
    this.disks.map(({ content }) => {
      const bytes = sealManifest(content, KEY);
      return [manifestIdOf(bytes), bytes] as const;
    }),
  );
  readonly refs: Map<string, ManifestId> = new Map();
  /** Refs of a listing besides those. */
  readonly unreadable: UnreadableRef[] = [];
  readonly records: Map<string, Uint8Array> = new Map();
  isGone = false;
  /** Chunks that were asked for. */
  asked = 0;
  /** Reads of names and manifests, in order: `ref`, `refs`, `manifest`. */
  readonly looked: string[] = [];

  id(index: number): ManifestId {
    return [...this.manifests.keys()][index]!;
  }

  async getChunk(...args: Parameters<ImageExportsOptions["store"]["getChunk"]>): Promise<Uint8Array> {
    this.asked++;
    return this.disks[0]!.store.getChunk(...args).catch(() => this.disks[1]!.store.getChunk(...args));
  }

  getManifest(_customer: string, manifestId: ManifestId): Promise<Uint8Array> {
    this.looked.push("manifest");
    const found = this.manifests.get(manifestId);
    if (found !== undefined) return Promise.resolve(Uint8Array.from(found));
    return Promise.reject(new LambdaImgError("MANIFEST_NOT_FOUND", "no such manifest"));
  }

  getRef(_customer: string, imageName: string): Promise<ManifestId> {
    this.looked.push("ref");
    if (this.isGone) return Promise.reject(new LambdaImgError("STORE_UNAVAILABLE", "gone"));
    const found = this.refs.get(imageName);
    if (found !== undefined) return Promise.resolve(found);
    return Promise.reject(new LambdaImgError("IMAGE_NOT_FOUND", "no such name"));
  }

  getRecord({ name }: RecordPlace): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.records.get(name));
  }

  putRecord({ name }: RecordPlace, bytes: Uint8Array): Promise<void> {
    if (this.isGone) return Promise.reject(new LambdaImgError("STORE_UNAVAILABLE", "gone"));
    this.records.set(name, Uint8Array.from(bytes));
    return Promise.resolve();
  }

  listRefs(): Promise<readonly ListedRef[]> {
    this.looked.push("refs");
    const refs = [...this.refs].map(([imageName, manifestId]) => ({ imageName, manifestId }));
    return Promise.resolve([...refs, ...this.unreadable]);
  }
}

/** Exports of the store: writable in memory, with a guard whose time stands still, unless the options say otherwise. */
export function exportsOf(store: MemoryStore, options: Partial<ImageExportsOptions> = {}): ImageExports {
  const guard = new ChunkGuard({
    timeoutMs: 1000,
    onError: "eio",
    onEvent: () => undefined,
    timers: new TestTimers(),
  });
  const overlay = { kind: "memory", maxBytes: 1 << 20 } as const;
  const memoryBytes = 16 * CHUNK_BYTES;
  const prefetch = { isReplaying: true, isRecording: false, primeChunks: 0 };
  const keyring = keyringOf(KEY);
  return new ImageExports({ store, keyring, overlay, guard, memoryBytes, prefetch, ...options });
}

/** Opens what the name stands for now, as the server does. */
export async function openNamed(exports: ImageExports, name: string): ReturnType<ImageExports["open"]> {
  const key = await exports.keyOf(name);
  if (key === undefined) throw new Error(`${name} stands for nothing`);
  return exports.open(key);
}
