import fc from "fast-check";
import { expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { CHUNK_BYTES, type ChunkName } from "../../src/chunk/chunk.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { OpenChunks } from "../../src/device/open-chunks.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import type { ChunkReader } from "../../src/store/store.ts";
import { makeChunkDisk, type ChunkDisk } from "../support/chunk-disk.ts";

/** A store in memory that counts what is asked of it. */
class CountingChunks implements ChunkReader {
  readonly chunks: Map<string, Uint8Array>;
  readonly asked: string[] = [];
  readonly #store: ChunkReader;

  constructor({ chunks, store }: ChunkDisk) {
    this.chunks = chunks;
    this.#store = store;
  }

  getChunk(name: ChunkName): Promise<Uint8Array> {
    this.asked.push(name);
    return this.#store.getChunk(name);
  }
}

interface Disk {
  readonly plain: Uint8Array;
  readonly chunks: CountingChunks;
  readonly content: ManifestContent;
  readonly device: ImageDevice;
}

function makeDisk(diskChunkCount: number, filled: readonly number[]): Disk {
  const disk = makeChunkDisk(diskChunkCount, filled);
  const chunks = new CountingChunks(disk);
  return { ...disk, chunks, device: new ImageDevice(chunks, disk.content) };
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

test("a device that has them to itself keeps 16 chunks open, and no more", async () => {
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

test("devices that share open chunks load what they share once, and what another key opens twice", async () => {
  const { chunks, content, plain } = makeDisk(3, [0, 2]);
  const openChunks = new OpenChunks({ maxBytes: 4 * CHUNK_BYTES });
  const [first, second] = [0, 1].map(() => new ImageDevice(chunks, content, { openChunks }));
  await first!.read(0, 3 * CHUNK_BYTES);
  expect(Buffer.compare(await second!.read(0, 3 * CHUNK_BYTES), plain)).toBe(0);
  expect([chunks.asked.length, first!.chunksRead, second!.chunksRead]).toEqual([2, 2, 0]);
  const keys = Uint8Array.from(content.keys);
  keys[0]! ^= 1;
  const stranger = new ImageDevice(chunks, { ...content, keys }, { openChunks });
  const found = await stranger.read(0, 4096);
  expect(Buffer.compare(found, plain.subarray(0, 4096))).not.toBe(0);
  expect(chunks.asked).toHaveLength(3);
});

test("a range that was brought nearer is read without the store, and no more is asked for than stays open", async () => {
  const { chunks, content, plain } = makeDisk(5, [0, 1, 2, 4]);
  const makeDevice = (): ImageDevice => {
    const openChunks = new OpenChunks({ maxBytes: 2 * CHUNK_BYTES });
    return new ImageDevice(chunks, content, { openChunks });
  };
  const device = makeDevice();
  await device.prefetch({ offsetBytes: CHUNK_BYTES + 7, sizeBytes: CHUNK_BYTES });
  expect(chunks.asked).toHaveLength(2);
  expect(
    Buffer.compare(await device.read(CHUNK_BYTES, 9), plain.subarray(CHUNK_BYTES, CHUNK_BYTES + 9)),
  ).toBe(0);
  expect(chunks.asked).toHaveLength(2);
  await makeDevice().prefetch({ offsetBytes: 0, sizeBytes: 5 * CHUNK_BYTES });
  expect(chunks.asked).toHaveLength(4);
  chunks.chunks.clear();
  await makeDevice().prefetch({ offsetBytes: 4 * CHUNK_BYTES, sizeBytes: CHUNK_BYTES });
});

test("a chunk is read ahead once, unless it is zero, open, or on its way; a read finds it", async () => {
  const { chunks, content, plain } = makeDisk(4, [0, 1, 3]);
  const purposes: string[] = [];
  const device = new ImageDevice(chunks, content, {
    guardLoad: (chunkIndex, load, purpose) => {
      purposes.push(`${purpose} ${chunkIndex}`);
      return load();
    },
  });
  await Promise.all([device.readChunk(0), device.readAhead(0)]);
  await device.readAhead(1);
  await device.readAhead(1);
  await device.readAhead(2);
  expect(
    Buffer.compare(await device.read(CHUNK_BYTES, 5), plain.subarray(CHUNK_BYTES, CHUNK_BYTES + 5)),
  ).toBe(0);
  expect(purposes).toEqual(["read 0", "ahead 1"]);
  chunks.chunks.clear();
  expect((await failure(device.readAhead(3))).code).toBe("CHUNK_NOT_FOUND");
  expect((await failure(device.readAhead(4))).code).toBe("DISK_IMAGE_INVALID");
});

test("it is told which chunks are read, in order, but not of zero chunks and of what is read ahead", async () => {
  const { chunks, content } = makeDisk(5, [0, 1, 3, 4]);
  const visited: number[] = [];
  const device = new ImageDevice(chunks, content, { onVisit: (chunkIndex) => visited.push(chunkIndex) });
  await device.readAhead(4);
  await device.read(3 * CHUNK_BYTES, 4096);
  await device.read(3 * CHUNK_BYTES + 4096, 4096);
  await device.read(2 * CHUNK_BYTES, 4096);
  await device.read(0, 2 * CHUNK_BYTES);
  await device.read(3 * CHUNK_BYTES, 0);
  await device.readChunk(3);
  expect(visited).toEqual([3, 0, 1, 3]);
});

test("a reader that verifies is believed, and another one is not", async () => {
  const { chunks, content } = makeDisk(1, [0]);
  for (const sealed of chunks.chunks.values()) sealed[0] = sealed[0]! ^ 1;
  const verifying = { isVerifying: true, getChunk: chunks.getChunk.bind(chunks) };
  expect((await new ImageDevice(verifying, content).read(0, 1)).length).toBe(1);
  for (const reader of [{ ...verifying, isVerifying: false }, { getChunk: verifying.getChunk }]) {
    expect((await failure(new ImageDevice(reader, content).read(0, 1))).code).toBe("CHUNK_CORRUPT");
  }
});

test("a guard stands around every load, and may repeat it", async () => {
  const { chunks, content } = makeDisk(4, [0, 3]);
  const guarded: number[] = [];
  const device = new ImageDevice(chunks, content, {
    guardLoad: async (chunkIndex, load) => {
      guarded.push(chunkIndex);
      await load();
      return load();
    },
  });
  await Promise.all([device.readChunk(3), device.readChunk(3), device.readChunk(2)]);
  await device.readChunk(3);
  expect(guarded).toEqual([3]);
  expect(chunks.asked).toHaveLength(2);
  expect(device.chunksRead).toBe(2);
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

test("a load is called off when the last who waits for it has gone, and begins anew for who comes later", async () => {
  const { content, chunks, plain } = makeDisk(2, [0, 1]);
  const signals: (AbortSignal | undefined)[] = [];
  let isHanging = true;
  const device = new ImageDevice(chunks, content, {
    guardLoad: (_index, load, _purpose, signal) => {
      signals.push(signal);
      return isHanging ? new Promise(() => undefined) : load();
    },
  });
  const [first, second] = [new AbortController(), new AbortController()];
  const reads = [first, second].map(({ signal }) => failure(device.read(5, 10, { signal })));
  first.abort();
  expect((await reads[0])?.code).toBe("CANCELLED");
  expect([signals.length, signals[0]?.aborted]).toEqual([1, false]);
  second.abort();
  expect((await reads[1])?.code).toBe("CANCELLED");
  expect(signals[0]?.aborted).toBe(true);
  expect((await failure(device.read(5, 10, { signal: first.signal }))).code).toBe("CANCELLED");
  expect((await failure(device.read(0, 2 * CHUNK_BYTES, { signal: first.signal }))).code).toBe("CANCELLED");
  await device.prefetch({ offsetBytes: 0, sizeBytes: 2 * CHUNK_BYTES }, { signal: first.signal });
  expect(signals).toHaveLength(1);
  isHanging = false;
  expect(await device.read(5, 10)).toEqual(plain.subarray(5, 15));
  expect(signals[1]?.aborted).toBe(false);
});
