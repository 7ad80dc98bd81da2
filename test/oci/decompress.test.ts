import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";

import { describe, expect, test } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { decompress } from "../../src/oci/decompress.ts";
import { collect, compress, hasCommand } from "../support/oci-layout.ts";

const content = sample(300_000);
const gzipped = new Uint8Array(gzipSync(content));
const emptyMember = new Uint8Array(gzipSync(new Uint8Array(0)));
const hasZstd = hasCommand("zstd");
const zstd = (bytes: Uint8Array): Uint8Array => (hasZstd ? compress(bytes, "zstd") : new Uint8Array(0));

/** Bytes that compress, but not too well. */
function sample(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0, state = 7; at < sizeBytes; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[at] = at % 3 === 0 ? state >>> 24 : 97 + (at % 7);
  }
  return bytes;
}

async function* slices(bytes: Uint8Array, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    yield bytes.slice(at, at + sizeBytes);
    await Promise.resolve();
  }
}

async function failure(bytes: Uint8Array, sizeBytes = 65536): Promise<LambdaImgError> {
  try {
    await collect(decompress(slices(bytes, sizeBytes), "layer 0"));
  } catch (error) {
    if (error instanceof LambdaImgError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function skippable(sizeBytes: number): Uint8Array {
  const frame = new Uint8Array(8 + sizeBytes);
  new DataView(frame.buffer).setUint32(0, 0x184d2a5a, true);
  new DataView(frame.buffer).setUint32(4, sizeBytes, true);
  return frame;
}

/** Name, bytes, what they give, and whether the zstd command made them. */
type Good = [string, Uint8Array, Uint8Array, boolean?];

const good: readonly Good[] = [
  ["nothing", new Uint8Array(0), new Uint8Array(0)],
  ["one byte", Uint8Array.of(0x1f), Uint8Array.of(0x1f)],
  ["plain bytes", content, content],
  ["a name that begins as bzip2 does", text("BZh9-notes.txt\0"), text("BZh9-notes.txt\0")],
  ["gzip", gzipped, content],
  ["gzip of nothing", emptyMember, new Uint8Array(0)],
  ["gzip members", concatBytes(gzipped, gzipped), concatBytes(content, content)],
  [
    "empty gzip members",
    concatBytes(emptyMember, gzipped, emptyMember, emptyMember, gzipped, emptyMember),
    concatBytes(content, content),
  ],
  ["zeros after gzip", concatBytes(gzipped, new Uint8Array(100_000)), content],
  ["one zero after gzip", concatBytes(gzipped, new Uint8Array(1)), content],
  ["zstd", zstd(content), content, true],
  ["zstd of nothing", zstd(new Uint8Array(0)), new Uint8Array(0), true],
  ["zstd frames", concatBytes(zstd(content), zstd(content)), concatBytes(content, content), true],
  [
    "skippable frames",
    concatBytes(skippable(5), zstd(content), skippable(0), skippable(70_000), zstd(content), skippable(9)),
    concatBytes(content, content),
    true,
  ],
  ["only a skippable frame", skippable(3), new Uint8Array(0), true],
  [
    "very many empty frames",
    concatBytes(...Array.from({ length: 20_000 }, () => skippable(0)), zstd(content)),
    content,
    true,
  ],
];

describe.each<Good>(good)("%s", (_name, stored, expected, isZstd) => {
  test.skipIf(isZstd === true && !hasZstd).each([1 << 20, 4099, 97])(
    "comes out right in pieces of %d",
    async (sizeBytes) => {
      const found = await collect(decompress(slices(stored, sizeBytes), "layer 0"));
      expect(equalBytes(found, expected)).toBe(true);
    },
  );
});

const cut = (bytes: Uint8Array, sizeBytes: number): Uint8Array => bytes.slice(0, bytes.length - sizeBytes);
const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice();
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0x55;
  return copy;
};

/** Name, bytes, words of the refusal, and whether the zstd command made them. */
type Bad = [string, Uint8Array, RegExp, boolean?];

const bad: readonly Bad[] = [
  ["two bytes of gzip", gzipped.slice(0, 2), /truncated/],
  ["a cut gzip header", gzipped.slice(0, 9), /truncated/],
  ["cut gzip data", cut(gzipped, 1000), /truncated/],
  ["a cut gzip trailer", cut(gzipped, 4), /truncated/],
  ["a gzip trailer without its last byte", cut(gzipped, 1), /truncated/],
  ["a cut second member", concatBytes(gzipped, cut(gzipped, 100)), /truncated/],
  ["one byte of a second member", concatBytes(gzipped, Uint8Array.of(0x1f)), /truncated|damaged/],
  ["a wrong CRC", flipped(gzipped, -8), /CRC/],
  ["a wrong length", flipped(gzipped, -4), /ISIZE/],
  ["damaged data", flipped(gzipped, 5000), /damaged/],
  ["other bytes after gzip", concatBytes(gzipped, text("hello")), /damaged|follow/],
  ["other bytes after zeros after gzip", concatBytes(gzipped, new Uint8Array(70_000), text("x")), /follow/],
  ["a member after zeros", concatBytes(gzipped, new Uint8Array(1000), gzipped), /follow/],
  ["a cut zstd header", zstd(content).slice(0, 5), /truncated/, true],
  ["cut zstd data", cut(zstd(content), 1000), /truncated/, true],
  ["cut zstd checksum", cut(zstd(content), 1), /truncated/, true],
  ["a wrong zstd checksum", flipped(zstd(content), -1), /damaged/, true],
  ["other bytes after zstd", concatBytes(zstd(content), text("hello world")), /damaged|truncated/, true],
  ["a reserved bit in the zstd header", flipped(zstd(content), 4), /damaged|truncated/, true],
  ["a cut skippable frame", skippable(100).slice(0, 50), /truncated/, true],
];

describe.each<Bad>(bad)("%s", (_name, stored, words, isZstd) => {
  test.skipIf(isZstd === true && !hasZstd).each([1 << 20, 97])(
    "is refused in pieces of %d",
    async (sizeBytes) => {
      const error = await failure(stored, sizeBytes);
      expect(error.code).toBe("LAYER_INVALID");
      expect(error.message).toMatch(/^layer 0: cannot decompress: /);
      expect(error.message).toMatch(words);
    },
  );
});

test.each([
  ["bzip2", [0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 1]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ["lz4", [0x04, 0x22, 0x4d, 0x18, 0x60]],
])("%s is refused by name, whole and byte by byte", async (name, bytes) => {
  for (const sizeBytes of [100, 1]) {
    const error = await failure(Uint8Array.from(bytes), sizeBytes);
    expect(error.code).toBe("COMPRESSION_UNSUPPORTED");
    expect(error.message).toContain(name);
  }
});

test.each<readonly [string, Uint8Array]>([
  ["gzip", gzipped],
  ["no compression", content],
  ...(hasZstd ? [["zstd", zstd(content)] as const] : []),
])("pieces of input that are lent, as Buffers in one memory, may be short: %s", async (_name, bytes) => {
  async function* lent(): AsyncGenerator<Uint8Array> {
    const room = Buffer.alloc(3);
    for (let at = 0; at < bytes.length; at += room.length) {
      const piece = room.subarray(0, Math.min(room.length, bytes.length - at));
      piece.set(bytes.subarray(at, at + piece.length));
      yield piece;
      room.fill(0xff);
      await Promise.resolve();
    }
  }
  expect(equalBytes(await collect(decompress(lent(), "layer 0")), content)).toBe(true);
});

/** A zstd frame of "hello", in one block without compression, behind a header of these bytes (RFC 8878 3.1.1). */
function zstdFrame(...header: readonly number[]): Uint8Array {
  return Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, ...header, (5 << 3) | 1, 0, 0, ...text("hello")]);
}

test.each([
  ["1 KiB", [0, 0]],
  ["128 MiB", [0, 17 << 3]],
])("zstd with a window of %s is read", async (_name, header) => {
  for (const sizeBytes of [100, 1]) {
    const found = await collect(decompress(slices(zstdFrame(...header), sizeBytes), "layer 0"));
    expect(found).toEqual(text("hello"));
  }
});

test("the zstd decoder starts without fetch, which is there again for others", async () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "fetch");
  const decompressing = collect(decompress(slices(zstdFrame(0, 0), 100), "layer 0"));
  expect(await decompressing).toEqual(text("hello"));
  expect(Object.getOwnPropertyDescriptor(globalThis, "fetch")).toEqual(before);
  expect(globalThis.fetch).toBeTypeOf("function");
});

test.each([
  ["an eighth more than 128 MiB", [0, (17 << 3) | 1], 144 * 2 ** 20],
  ["256 MiB", [0, 18 << 3], 2 ** 28],
  ["all its content, above 128 MiB", [0xa0, 1, 0, 0, 8], 2 ** 27 + 1],
  ["all its content, with a size of 8 bytes", [0xe1, 9, 0, 0, 0, 0, 1, 0, 0, 0], 2 ** 32],
])("zstd with a window of %s is unsupported, not damaged", async (_name, header, foundBytes) => {
  for (const sizeBytes of [100, 1]) {
    const error = await failure(zstdFrame(...header), sizeBytes);
    expect(error.code).toBe("COMPRESSION_UNSUPPORTED");
    expect(error.details).toEqual({ limitBytes: 2 ** 27, foundBytes });
  }
});

/** An input that counts what is asked of it, and remembers whether it was closed. */
class Probe {
  askedCount = 0;
  isClosed = false;
  readonly #bytes: Uint8Array;
  readonly #failAfter: number;

  constructor(bytes: Uint8Array, failAfter = Infinity) {
    this.#bytes = bytes;
    this.#failAfter = failAfter;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < this.#bytes.length; at += 4096) {
        await Promise.resolve();
        if (this.askedCount++ >= this.#failAfter) throw new LambdaImgError("DIGEST_MISMATCH", "from below");
        yield this.#bytes.subarray(at, at + 4096);
      }
    } finally {
      this.isClosed = true;
    }
  }
}

describe.each([
  ["plain", content],
  ["gzip", gzipped],
  ["zstd", zstd(content)],
] as const)("%s input", (name, stored) => {
  test.skipIf(name === "zstd" && !hasZstd)(
    "is closed, and asked for no more, when the caller stops",
    async () => {
      const probe = new Probe(stored);
      for await (const piece of decompress(probe, "layer 0")) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      expect(probe.isClosed).toBe(true);
      const { askedCount } = probe;
      await new Promise((resolve) => setImmediate(resolve));
      expect(probe.askedCount).toBe(askedCount);
    },
  );

  test.skipIf(name === "zstd" && !hasZstd)("passes its own errors on unchanged", async () => {
    for (const failAfter of [0, 1, 5]) {
      const probe = new Probe(stored, failAfter);
      await expect(collect(decompress(probe, "layer 0"))).rejects.toMatchObject({
        code: "DIGEST_MISMATCH",
        message: "from below",
      });
    }
  });
});

test.each(["gzip", "zstd"] as const)("a bomb of %s gives its output piece by piece", async (compression) => {
  if (compression === "zstd" && !hasZstd) return;
  const zeros = new Uint8Array(64 << 20);
  const stored = compress(zeros, compression);
  const input = new Probe(stored);
  let pieceCount = 0;
  for await (const piece of decompress(input, "layer 0")) {
    expect(piece.length).toBeLessThanOrEqual(1 << 20);
    if (++pieceCount === 3) break;
  }
  // Far from all of the input: what was asked for is what the inflater and its queue hold.
  if (compression === "gzip") expect(input.askedCount).toBeLessThanOrEqual(Math.ceil(stored.length / 4096));
  expect(input.isClosed).toBe(true);
});

test("input waits for a caller that takes nothing more", async () => {
  const noise = sample(8 << 20);
  const probe = new Probe(new Uint8Array(gzipSync(noise, { level: 1 })));
  const output = decompress(probe, "layer 0");
  await output.next();
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  const stalled = probe.askedCount;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(probe.askedCount).toBe(stalled);
  expect(stalled * 4096).toBeLessThan(2 << 20);
  await output.return();
  expect(probe.isClosed).toBe(true);
});

test.skipIf(!hasCommand("gzip"))("agrees with gzip(1) on what it made", async () => {
  const stored = execFileSync("gzip", ["-9c"], { input: content, maxBuffer: 1 << 30 });
  const found = await collect(decompress(slices(new Uint8Array(stored), 1000), "layer 0"));
  expect(equalBytes(found, content)).toBe(true);
});

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
