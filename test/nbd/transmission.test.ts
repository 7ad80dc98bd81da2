/** The transmission, message by message (proto.md, "Transmission phase"). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { Client, requestBytes, type Ask, type Reply } from "./client.ts";
import { MemoryDevice, patternBytes } from "./_memory-device.ts";
import { serve } from "./serving.ts";

const READ = 0;
const WRITE = 1;
const FLUSH = 3;
const TRIM = 4;
const CACHE = 5;
const ZEROES = 6;
const STATUS = 7;
const FUA = 1;
const NO_HOLE = 2;
const DF = 4;
const REQ_ONE = 8;
const FAST_ZERO = 16;
const PIECE = 524288;
const SIZE = 4 * PIECE;

const fullDevice = (options = {}): MemoryDevice =>
  new MemoryDevice(SIZE, options).fill(0, patternBytes(SIZE));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** Puts the content of a structured read together; every byte must come exactly once. */
function assemble(replies: readonly Reply[], offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  const seen = new Uint8Array(size);
  for (const { type, payload } of replies) {
    if (type === 0) continue;
    const at = Number(payload.readBigUInt64BE(0)) - offset;
    const length = type === 2 ? payload.readUInt32BE(8) : payload.length - 8;
    expect(type === 1 || type === 2).toBe(true);
    expect(seen.subarray(at, at + length).every((count) => count === 0)).toBe(true);
    seen.fill(1, at, at + length);
    if (type === 1) payload.copy(bytes, at, 8);
  }
  expect(seen.every((count) => count === 1)).toBe(true);
  return bytes;
}

describe("errors", () => {
  test.each<[string, Ask, number]>([
    ["a read to the end", { type: READ, offset: SIZE - 512, size: 512 }, 0],
    ["a read past the end", { type: READ, offset: SIZE - 511, size: 512 }, 22],
    ["a read at 2^64 - 1", { type: READ, offset: 0xffffffffffffffffn, size: 1 }, 22],
    ["a write past the end", { type: WRITE, offset: SIZE - 1, payload: Buffer.alloc(2) }, 28],
    ["zeroes past the end", { type: ZEROES, offset: SIZE, size: 1 }, 28],
    ["a trim past the end", { type: TRIM, offset: SIZE, size: 1 }, 22],
    ["a prefetch past the end", { type: CACHE, offset: SIZE, size: 1 }, 22],
    ["a flush with a range", { type: FLUSH, size: 1 }, 22],
    ["a flush with an offset", { type: FLUSH, offset: 1 }, 22],
    ["an unknown command", { type: 99 }, 22],
    ["resize, which nobody offered", { type: 8 }, 22],
    ["block status without a context", { type: STATUS, size: 512 }, 22],
    ["DF without structured replies", { type: READ, flags: DF, size: 512 }, 22],
    ["an unknown flag", { type: READ, flags: 128, size: 512 }, 22],
    ["NO_HOLE of a write", { type: WRITE, flags: NO_HOLE, payload: Buffer.alloc(9) }, 22],
    ["REQ_ONE of a trim", { type: TRIM, flags: REQ_ONE, size: 512 }, 22],
    ["FUA of a read", { type: READ, flags: FUA, size: 512 }, 0],
    ["FUA of a flush", { type: FLUSH, flags: FUA }, 0],
    ["fast zeroes", { type: ZEROES, flags: FAST_ZERO, size: 4096 }, 0],
    ["fast zeroes that keep their room", { type: ZEROES, flags: FAST_ZERO | NO_HOLE, size: 4096 }, 95],
    ["nothing to read", { type: READ, offset: SIZE }, 0],
    ["nothing to write", { type: WRITE, offset: SIZE, payload: Buffer.alloc(0) }, 0],
    ["nothing to trim", { type: TRIM, offset: SIZE }, 0],
  ])("%s", async (_name, ask, error) => {
    const { path } = await serve({ "": fullDevice() });
    const client = await Client.start(path);
    client.ask({ cookie: 0xfedcba9876543210n, ...ask });
    const reply = await client.reply(ask.type === READ ? ask.size : 0);
    expect(reply).toMatchObject({ isStructured: false, error, cookie: 0xfedcba9876543210n });
    // Whatever it was, the next request is understood.
    expect((await client.run({ type: READ, size: 512 }))[0]?.error).toBe(0);
  });

  test.each<[string, number]>([
    ["write", WRITE],
    ["trim", TRIM],
    ["write zeroes", ZEROES],
  ])("%s of a read-only export is EPERM", async (_name, type) => {
    const device = fullDevice({ isReadOnly: true });
    const { path } = await serve({ "": device });
    const client = await Client.start(path);
    const ask = type === WRITE ? { type, payload: Buffer.alloc(512) } : { type, size: 512 };
    expect((await client.run(ask))[0]?.error).toBe(1);
    expect((await client.run({ type: READ, flags: FUA, size: 512 }))[0]?.error).toBe(22);
    expect((await client.run({ type: FLUSH }))[0]?.error).toBe(0);
    expect(device.calls.write + device.calls.discard + device.calls.writeZeroes).toBe(0);
  });

  test.each<[unknown, number, number]>([
    [new LambdaImgError("CHUNK_CORRUPT", "x"), READ, 5],
    [new LambdaImgError("CHUNK_NOT_FOUND", "x"), READ, 5],
    [new LambdaImgError("STORE_UNAVAILABLE", "x"), READ, 5],
    [new LambdaImgError("STORE_FORBIDDEN", "x"), READ, 5],
    [new LambdaImgError("OVERLAY_UNAVAILABLE", "x"), WRITE, 5],
    [new LambdaImgError("OVERLAY_FULL", "x"), WRITE, 28],
    [new LambdaImgError("OVERLAY_FULL", "x"), ZEROES, 28],
    [new LambdaImgError("DEVICE_READ_ONLY", "x"), WRITE, 1],
    [new LambdaImgError("DEVICE_RANGE_INVALID", "x"), READ, 22],
    [new LambdaImgError("DEVICE_RANGE_INVALID", "x"), WRITE, 28],
    [new LambdaImgError("CANCELLED", "x"), READ, 108],
    [new TypeError("a bug"), READ, 5],
  ])("of the device: %o of command %i is %i", async (error, type, value) => {
    const device = fullDevice();
    device.failAt(0, 1, error as Error);
    const { path, problems } = await serve({ "": device });
    for (const isStructured of [false, true]) {
      const client = await Client.start(path, { isStructured });
      const ask = type === WRITE ? { type, payload: Buffer.alloc(512) } : { type, size: 512 };
      const [reply] = await client.run(ask);
      expect(reply).toMatchObject({ isStructured, error: value });
      const text = error instanceof LambdaImgError ? error.code : "internal error";
      if (isStructured) {
        expect(reply?.type).toBe(0x8002);
        expect(reply?.payload.toString("latin1", 6, 6 + text.length)).toBe(text);
      }
    }
    expect(problems.map((problem) => problem.error)).toEqual([error, error]);
  });

  test("a failing flush fails a write with FUA, and a flush", async () => {
    const device = fullDevice();
    device.flushError = new LambdaImgError("OVERLAY_UNAVAILABLE", "x");
    const { path } = await serve({ "": device });
    const client = await Client.start(path);
    const payload = Buffer.alloc(512);
    expect((await client.run({ type: WRITE, payload }))[0]?.error).toBe(0);
    expect((await client.run({ type: WRITE, flags: FUA, payload }))[0]?.error).toBe(5);
    expect((await client.run({ type: FLUSH }))[0]?.error).toBe(5);
  });
});

test("FUA makes each writing command last before it is answered", async () => {
  const device = fullDevice();
  const { path } = await serve({ "": device });
  const client = await Client.start(path);
  const asks = [
    { type: WRITE, payload: Buffer.alloc(512) },
    { type: TRIM, size: 4096 },
    { type: ZEROES, size: 4096 },
  ];
  for (const ask of asks) {
    await client.run(ask);
    expect(device.unflushedCount).toBe(1);
    await client.run({ ...ask, flags: FUA });
    expect(device.unflushedCount).toBe(0);
  }
});

describe("limits", () => {
  const MAX = 32 << 20;

  test("32 MiB are read and written, one byte more is refused and skipped", async () => {
    const device = new MemoryDevice(2 * MAX);
    const { path } = await serve({ "": device });
    const client = await Client.start(path);
    const bytes = patternBytes(MAX);
    expect((await client.run({ type: WRITE, payload: bytes }))[0]?.error).toBe(0);
    const [read] = await client.run({ type: READ, size: MAX });
    expect(read?.payload.equals(bytes)).toBe(true);
    expect((await client.run({ type: READ, size: MAX + 1 }))[0]?.error).toBe(22);
    expect((await client.run({ type: WRITE, payload: new Uint8Array(MAX + 1) }))[0]?.error).toBe(22);
    expect((await client.run({ type: FLUSH }))[0]?.error).toBe(0);
    expect(device.calls).toMatchObject({ read: 1, write: 1 });
  });

  test("an unfragmented read of more than 32 MiB is EOVERFLOW", async () => {
    const { path } = await serve({ "": new MemoryDevice(2 * MAX) });
    const client = await Client.start(path, { isStructured: true });
    expect((await client.run({ type: READ, flags: DF, size: MAX + 1 }))[0]).toMatchObject({ error: 75 });
  });

  test.each([
    ["requests", 512, 128],
    ["bytes", 4 << 20, 8],
  ])(
    "only so many %s are under way, and a client that does not read gets no more",
    async (_name, size, max) => {
      const device = new MemoryDevice(8 << 20);
      const { path } = await serve({ "": device });
      const client = await Client.start(path);
      client.socket.pause();
      const release = device.hold();
      for (let count = 0; count < 300; count++) client.ask({ type: READ, cookie: BigInt(count), size });
      await until(() => device.calls.read === max);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(device.calls.read).toBe(max);
      release();
      client.socket.resume();
      for (let count = 0; count < 300; count++) expect((await client.reply(size)).error).toBe(0);
      expect(device.runningCountMax).toBe(max);
    },
  );
});

describe("structured reads", () => {
  test("give holes as holes, and content in pieces", async () => {
    const device = new MemoryDevice(SIZE).fill(8192, patternBytes(PIECE));
    const { path } = await serve({ "": device });
    const client = await Client.start(path, { isStructured: true });
    const replies = await client.run({ type: READ, offset: 100, size: SIZE - 200 });
    expect(assemble(replies, 100, SIZE - 200).equals(device.bytes.subarray(100, SIZE - 100))).toBe(true);
    const parts = replies.map(({ type, payload }) => [type, Number(payload.readBigUInt64BE(0))]);
    expect(parts.sort(([, left = 0], [, right = 0]) => left - right)).toEqual([
      [2, 100],
      [1, 8192],
      [1, PIECE],
      [2, PIECE + 8192],
    ]);
  });

  test("are one chunk with DF, holes or not", async () => {
    const { path } = await serve({ "": new MemoryDevice(SIZE) });
    const client = await Client.start(path, { isStructured: true });
    const replies = await client.run({ type: READ, flags: DF, size: SIZE });
    expect(replies.map(({ type, payload }) => [type, payload.length])).toEqual([[1, SIZE + 8]]);
  });

  test("of nothing are NBD_REPLY_TYPE_NONE", async () => {
    const { path } = await serve({ "": new MemoryDevice(SIZE) });
    const client = await Client.start(path, { isStructured: true });
    expect(await client.run({ type: READ })).toMatchObject([{ type: 0, flags: 1 }]);
  });

  test("with a damaged piece give the others, and an error with its offset", async () => {
    const device = fullDevice();
    device.failAt(2 * PIECE + 5, 1, new LambdaImgError("CHUNK_CORRUPT", "chunk 2"));
    const { path } = await serve({ "": device });
    const client = await Client.start(path, { isStructured: true });
    const replies = await client.run({ type: READ, offset: 7, size: SIZE - 7 });
    const failed = replies.filter(({ type }) => type === 0x8002);
    expect(failed.map(({ error, payload }) => [error, payload.readBigUInt64BE(payload.length - 8)])).toEqual([
      [5, BigInt(2 * PIECE)],
    ]);
    const offsets = replies.filter(({ type }) => type === 1).map(({ payload }) => payload.readBigUInt64BE(0));
    expect(new Set(offsets)).toEqual(new Set([7n, BigInt(PIECE), BigInt(3 * PIECE)]));
    expect(replies.map(({ flags }) => flags)).toEqual([0, 0, 0, 1]);
  });

  test("of a device with very many extents are not cut into them", async () => {
    const device = new MemoryDevice(SIZE);
    for (let page = 0; page < 200; page += 2) device.fill(page * 4096, patternBytes(4096, page));
    const { path } = await serve({ "": device });
    const client = await Client.start(path, { isStructured: true });
    const replies = await client.run({ type: READ, size: SIZE });
    expect(replies.map(({ type }) => type)).toEqual([1, 1, 1, 1]);
    expect(assemble(replies, 0, SIZE).equals(device.bytes)).toBe(true);
  });
});

describe("block status", () => {
  /** Length and flags of each descriptor. */
  const rowsOf = (payload: Buffer): number[][] => {
    const rows: number[][] = [];
    for (let at = 4; at < payload.length; at += 8) {
      rows.push([payload.readUInt32BE(at), payload.readUInt32BE(at + 4)]);
    }
    return rows;
  };

  test("tells holes, zeros and content, joined over the steps in which the device is asked", async () => {
    const device = new MemoryDevice(3 * (64 << 20)).fill(4096, patternBytes(8192));
    await device.writeZeroes({ offsetBytes: 12288, sizeBytes: 4096 }, { mayDiscard: false });
    const { path } = await serve({ "": device });
    const client = await Client.start(path, { isStructured: true, hasContext: true });
    const [reply] = await client.run({ type: STATUS, offset: 1, size: device.sizeBytes - 1 });
    expect(reply).toMatchObject({ type: 5, flags: 1 });
    expect(reply?.payload.readUInt32BE(0)).toBe(1);
    expect(rowsOf(reply?.payload ?? Buffer.alloc(0))).toEqual([
      [4095, 3],
      [8192, 0],
      [4096, 2],
      [device.sizeBytes - 16384, 3],
    ]);
    const [one] = await client.run({
      type: STATUS,
      flags: REQ_ONE,
      offset: 16384,
      size: device.sizeBytes - 16384,
    });
    expect(rowsOf(one?.payload ?? Buffer.alloc(0))).toEqual([[device.sizeBytes - 16384, 3]]);
    expect((await client.run({ type: STATUS, size: 0 }))[0]?.error).toBe(22);
  });

  test("stops at 4096 descriptors", async () => {
    const device = new MemoryDevice(4100 * 4096);
    for (let page = 0; page < 4100; page += 2) device.fill(page * 4096, Uint8Array.of(1));
    const { path } = await serve({ "": device });
    const client = await Client.start(path, { isStructured: true, hasContext: true });
    const [reply] = await client.run({ type: STATUS, size: device.sizeBytes });
    expect(rowsOf(reply?.payload ?? Buffer.alloc(0))).toHaveLength(4096);
  });
});

test("requests run side by side, and are answered by cookie as they end", async () => {
  const device = fullDevice();
  const { path } = await serve({ "": device });
  const client = await Client.start(path);
  const release = device.hold();
  client.ask({ type: READ, cookie: 1n, size: 512 });
  await until(() => device.runningCount === 1);
  const releaseOthers = device.hold();
  client.ask({ type: READ, cookie: 2n, size: 512 });
  await until(() => device.runningCount === 2);
  releaseOthers();
  expect((await client.reply(512)).cookie).toBe(2n);
  release();
  expect((await client.reply(512)).cookie).toBe(1n);
});

test("a wrong magic number cuts the connection, and no other", async () => {
  const device = fullDevice();
  const { path, problems, server } = await serve({ "": device });
  const [bad, good] = [await Client.start(path), await Client.start(path)];
  bad.send(Buffer.alloc(28, 1));
  expect(await bad.rest()).toHaveLength(0);
  await until(() => server.connectionCount === 1);
  expect(problems).toMatchObject([{ connection: 1, error: { code: "NBD_PROTOCOL" } }]);
  expect((await good.run({ type: READ, size: 512 }))[0]?.error).toBe(0);
});

test.each([
  [
    "in the middle of a header",
    requestBytes({ type: 1, flags: 0, cookie: 1n, offset: 0, size: 9 }).subarray(0, 20),
  ],
  ["in the middle of a payload", requestBytes({ type: 1, flags: 0, cookie: 1n, offset: 0, size: 32 << 20 })],
  ["with reads under way", requestBytes({ type: 0, flags: 0, cookie: 1n, offset: 0, size: SIZE })],
])("a client that vanishes %s leaves nothing behind", async (_name, bytes) => {
  const device = fullDevice();
  const { path, server } = await serve({ "": device });
  const client = await Client.start(path);
  const release = device.hold();
  client.send(bytes);
  if (bytes[7] === 0 && bytes.length === 28) await until(() => device.runningCount === 1);
  client.destroy();
  release();
  await until(() => server.connectionCount === 0);
  expect(device).toMatchObject({ runningCount: 0, calls: { close: 1, write: 0 } });
});

test("a client that ends its side gets the answers to what it has asked", async () => {
  const { path } = await serve({ "": fullDevice() });
  const client = await Client.start(path);
  client.ask({ type: READ, size: 4096 });
  client.socket.end();
  expect((await client.reply(4096)).error).toBe(0);
  expect(await client.rest()).toHaveLength(0);
});

test("after any sequence of changes the device reads as an array of bytes does", async () => {
  const range = fc.tuple(fc.nat({ max: 200_000 }), fc.nat({ max: 100_000 }));
  const change = fc.record({
    type: fc.constantFrom(WRITE, TRIM, ZEROES),
    flags: fc.constantFrom(0, FUA),
    range,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 20 }), fc.boolean(), async (changes, isStructured) => {
      const device = new MemoryDevice(300_000);
      const model = Buffer.alloc(300_000);
      const { path, server } = await serve({ "": device });
      const client = await Client.start(path, { isStructured });
      for (const [
        seed,
        {
          type,
          flags,
          range: [offset, size],
        },
      ] of changes.entries()) {
        const bytes = type === WRITE ? patternBytes(size, seed) : new Uint8Array(size);
        model.set(bytes, offset);
        await client.run({ type, flags, offset, size, ...(type === WRITE ? { payload: bytes } : {}) });
      }
      const replies = await client.run({ type: READ, size: 300_000 });
      const found = isStructured ? assemble(replies, 0, 300_000) : replies[0]?.payload;
      expect(found?.equals(model)).toBe(true);
      await client.leave();
      await server.stop({ graceMs: 1 });
    }),
    { numRuns: 30 },
  );
});
