import fc from "fast-check";
import { expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { CHUNK_BYTES, type ChunkName } from "../../src/chunk/chunk.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { ManifestBuilder, type ManifestContent } from "../../src/manifest/manifest.ts";
import type { ChunkReader } from "../../src/store/store.ts";
import { sampleRecord } from "../support/manifest-sample.ts";

const SALT = saltOf({ rootId: "r0", epoch: 0, placement: "" });

/** A store in memory that counts what is asked of it. */
class MemoryChunks implements ChunkReader {
  readonly chunks = new Map<string, Uint8Array>();
  readonly asked: string[] = [];

  async getChunk(name: ChunkName): Promise<Uint8Array> {
    this.asked.push(name);
    await Promise.resolve();
    const sealed = this.chunks.get(name);
    if (sealed === undefined) throw new LambdaImgError("CHUNK_NOT_FOUND", `chunk ${name}: not in the store`);
    return Uint8Array.from(sealed);
  }
}

interface Disk {
  readonly plain: Uint8Array;
  readonly chunks: MemoryChunks;
  readonly content: ManifestContent;
  readonly device: ImageDevice;
}

/** A disk image with the named chunks filled, the others zero. */
function makeDisk(diskChunkCount: number, filled: readonly number[]): Disk {
  const plain = new Uint8Array(diskChunkCount * CHUNK_BYTES);
  const chunks = new MemoryChunks();
  const builder = new ManifestBuilder(diskChunkCount);
  for (const index of filled) {
    const chunk = plain.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
    for (let at = 0; at < chunk.length; at++) chunk[at] = (at * 31 + (at >>> 8) + index * 7 + 1) & 0xff;
    const sealed = sealChunk(chunk, SALT);
    chunks.chunks.set(sealed.name, sealed.sealed);
    builder.set(index, sealed);
  }
  const content = builder.finish(sampleRecord);
  return { plain, chunks, content, device: new ImageDevice(chunks, content) };
}

async function failure(work: Promise<unknown>): Promise<LambdaImgError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(LambdaImgError);
  return error as LambdaImgError;
}

test("any read gives the bytes of the disk image", async () => {
  const { plain, device } = makeDisk(6, [0, 2, 3, 5]);
  const near = fc
    .tuple(fc.nat(6), fc.integer({ min: -3, max: 3 }))
    .map(([index, by]) => Math.min(Math.max(index * CHUNK_BYTES + by, 0), plain.length));
  const place = fc.oneof(near, fc.nat(plain.length));
  await fc.assert(
    fc.asyncProperty(place, place, async (left, right) => {
      const from = Math.min(left, right);
      const to = Math.max(left, right);
      const bytes = await device.read(from, to - from);
      expect(bytes.length).toBe(to - from);
      expect(Buffer.compare(bytes, plain.subarray(from, to))).toBe(0);
    }),
    { numRuns: 40 },
  );
});

test("a device has the size of its disk image, and zero chunks cost nothing", async () => {
  const { device, chunks } = makeDisk(4, [1]);
  expect(device.sizeBytes).toBe(4 * CHUNK_BYTES);
  expect(await device.readChunk(0)).toBeUndefined();
  expect(await device.read(2 * CHUNK_BYTES, 2 * CHUNK_BYTES)).toEqual(new Uint8Array(2 * CHUNK_BYTES));
  expect(await device.read(CHUNK_BYTES, 0)).toEqual(new Uint8Array(0));
  expect(await device.read(4 * CHUNK_BYTES, 0)).toEqual(new Uint8Array(0));
  expect(chunks.asked).toEqual([]);
  expect(device.chunksRead).toBe(0);
  expect((await device.readChunk(1))?.length).toBe(CHUNK_BYTES);
  expect([device.chunksRead, device.bytesRead]).toEqual([1, CHUNK_BYTES]);
});

test("reads of one chunk at the same time share one load, and later ones find it open", async () => {
  const { device, chunks } = makeDisk(2, [0, 1]);
  await Promise.all(Array.from({ length: 20 }, (_, at) => device.read(at * 4096, 4096)));
  await device.read(CHUNK_BYTES - 1, 1);
  expect(chunks.asked).toHaveLength(1);
  expect(device.chunksRead).toBe(1);
});

test("the 16 chunks used last stay open, and no more", async () => {
  const all = Array.from({ length: 17 }, (_, index) => index);
  const { device, chunks } = makeDisk(17, all);
  for (const index of all.slice(0, 16)) await device.readChunk(index);
  await device.readChunk(0);
  await device.readChunk(16);
  expect(chunks.asked).toHaveLength(17);
  await device.readChunk(0);
  expect(chunks.asked).toHaveLength(17);
  await device.readChunk(1);
  expect(chunks.asked).toHaveLength(18);
});

test.each([
  [0, (byte: number) => byte ^ 1],
  [CHUNK_BYTES - 1, (byte: number) => byte ^ 0x80],
])("a chunk with byte %d changed is corrupt, and not a byte of it is served", async (at, change) => {
  const { device, chunks, content } = makeDisk(3, [0, 2]);
  const [name, sealed] = [...chunks.chunks][1]!;
  const good = Uint8Array.from(sealed);
  sealed[at] = change(sealed[at]!);
  const error = await failure(device.read(2 * CHUNK_BYTES, 4096));
  expect(error.code).toBe("CHUNK_CORRUPT");
  expect(error.message).toMatch(
    new RegExp(`^chunk 2: digest mismatch: expected sha256:${name}, found sha256:[0-9a-f]{64}$`),
  );
  expect(error.details["chunkIndex"]).toBe(2);
  for (const key of [content.keys.subarray(0, 32), content.keys.subarray(32)]) {
    expect(JSON.stringify([error.message, error.details])).not.toContain(Buffer.from(key).toString("hex"));
  }
  expect((await failure(device.read(0, 3 * CHUNK_BYTES))).code).toBe("CHUNK_CORRUPT");
  expect(device.chunksRead).toBe(1);
  // A failed load is not remembered: once the store is healed, so is the device.
  chunks.chunks.set(name, good);
  expect((await device.read(2 * CHUNK_BYTES, 4096)).length).toBe(4096);
});

test("a chunk under another chunk's name is corrupt", async () => {
  const { device, chunks } = makeDisk(2, [0, 1]);
  const [[first], [second, other]] = [...chunks.chunks] as [[string, Uint8Array], [string, Uint8Array]];
  chunks.chunks.set(first, other);
  expect((await failure(device.readChunk(0))).code).toBe("CHUNK_CORRUPT");
  expect(second).not.toBe(first);
});

test("a missing chunk is not found, by its place, and never zeros", async () => {
  const { device, chunks } = makeDisk(3, [1]);
  chunks.chunks.clear();
  const error = await failure(device.read(0, 3 * CHUNK_BYTES));
  expect(error.code).toBe("CHUNK_NOT_FOUND");
  expect(error.message).toMatch(/^chunk 1: /);
  expect(error.details["chunkIndex"]).toBe(1);
});

test.each([
  [-1, 1],
  [0, -1],
  [0.5, 1],
  [0, 2 * CHUNK_BYTES + 1],
  [2 * CHUNK_BYTES, 1],
  [Number.MAX_SAFE_INTEGER, 1],
  [Number.NaN, 1],
])("a read at %d of %d bytes is refused", async (offset, size) => {
  const { device } = makeDisk(2, []);
  expect((await failure(device.read(offset, size))).code).toBe("DISK_IMAGE_INVALID");
});

test.each([-1, 2, 0.5, Number.NaN])("chunk %d of two is refused", async (chunkIndex) => {
  const { device } = makeDisk(2, []);
  expect((await failure(device.readChunk(chunkIndex))).code).toBe("DISK_IMAGE_INVALID");
});
