import { gzipSync } from "node:zlib";

import { afterAll, describe, expect, test } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { asDiffId, parseDigest, sha256Digest, type Digest } from "../../src/base/digest.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { openLayer, type LayerInput } from "../../src/layer/open-layer.ts";
import type { TarHasher } from "../../src/layer/tar-hasher.ts";
import { collect } from "../support/oci-layout.ts";

const tar = new Uint8Array(100_000).map((_, index) => (index * index) >> 7);
const gzipped = new Uint8Array(gzipSync(tar));
const nothing = new Uint8Array(0);
const other = parseDigest(`sha256:${"0".repeat(64)}`, "test");
const unhandled: unknown[] = [];
const note = (reason: unknown): void => {
  unhandled.push(reason);
};
process.on("unhandledRejection", note);

afterAll(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

interface Case {
  readonly stored: Uint8Array;
  readonly tar?: Uint8Array;
  readonly diffId?: typeof other;
  readonly digest?: typeof other;
  readonly sizeBytes?: number;
  readonly isUnnamed?: boolean;
}

/** A layer whose descriptor is right but for what the case says, and whether its source was closed. */
function layerOf(
  given: Case,
  pieceBytes = 5000,
): LayerInput & { readonly state: { isClosed: boolean; givenBytes: number } } {
  const state = { isClosed: false, givenBytes: 0 };
  const stored = {
    digest: given.digest ?? sha256Digest(given.stored),
    sizeBytes: given.sizeBytes ?? given.stored.length,
  };
  async function* bytes(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < given.stored.length; at += pieceBytes) {
        await Promise.resolve();
        const piece = given.stored.slice(at, at + pieceBytes);
        state.givenBytes += piece.length;
        yield piece;
      }
    } finally {
      state.isClosed = true;
    }
  }
  const diffId = asDiffId(given.diffId ?? sha256Digest(given.tar ?? tar));
  const descriptor = { diffId, stored: given.isUnnamed === true ? undefined : stored, label: "layer 3" };
  return { descriptor, bytes: bytes(), state };
}

const open = (layer: LayerInput, layerBytesMax = 1 << 30): AsyncGenerator<Uint8Array> =>
  openLayer(layer, { layerBytesMax });

async function failure(layer: LayerInput, layerBytesMax?: number): Promise<LambdaImgError> {
  const error: unknown = await collect(open(layer, layerBytesMax)).catch((cause: unknown) => cause);
  if (error instanceof LambdaImgError) return error;
  throw new Error("expected a LambdaImgError", { cause: error });
}

describe.each([1, 999, 1 << 20])("in pieces of %d", (pieceBytes) => {
  test.each<[string, Case]>([
    ["gzip", { stored: gzipped }],
    ["plain", { stored: tar }],
    ["plain of size zero", { stored: nothing, tar: nothing }],
    ["gzip of nothing", { stored: new Uint8Array(gzipSync(nothing)), tar: nothing }],
    ["without a digest of its stored bytes", { stored: gzipped, isUnnamed: true }],
    ["gzip with zeros behind it", { stored: concatBytes(gzipped, new Uint8Array(9000)) }],
  ])("a layer comes out verified: %s", async (_name, given) => {
    if (pieceBytes === 1 && given.stored.length > 50_000) return;
    const layer = layerOf(given, pieceBytes);
    expect(equalBytes(await collect(open(layer)), given.tar ?? tar)).toBe(true);
    expect(layer.state.isClosed).toBe(given.stored.length > 0 || layer.state.isClosed);
  });
});

const damaged = gzipped.slice();
damaged[500] = (damaged[500] ?? 0) ^ 0xff;

test.each<[string, Case, string, RegExp]>([
  [
    "a wrong digest",
    { stored: gzipped, digest: other },
    "DIGEST_MISMATCH",
    /expected sha256:0{64} as stored, found sha256:[1-9a-f]/,
  ],
  [
    "a size too small",
    { stored: gzipped, sizeBytes: gzipped.length - 100 },
    "SIZE_MISMATCH",
    /expected \d+ bytes as stored, found at least/,
  ],
  [
    "a size too large",
    { stored: gzipped, sizeBytes: gzipped.length + 1 },
    "SIZE_MISMATCH",
    /expected \d+ bytes as stored, found \d+/,
  ],
  ["a size of zero", { stored: gzipped, sizeBytes: 0 }, "SIZE_MISMATCH", /expected 0 bytes/],
  [
    "a wrong diff ID",
    { stored: gzipped, diffId: other },
    "DIFF_ID_MISMATCH",
    /should be sha256:0{64}, found sha256:/,
  ],
  [
    "a diff ID that is the digest of compressed bytes",
    { stored: gzipped, diffId: sha256Digest(gzipped) },
    "DIFF_ID_MISMATCH",
    /diff ID/,
  ],
  [
    "plain bytes with another digest, which is the diff ID, too",
    { stored: tar, diffId: other, digest: other },
    "DIGEST_MISMATCH",
    /as stored/,
  ],
  [
    "a wrong diff ID of plain bytes without another digest",
    { stored: tar, diffId: other, isUnnamed: true },
    "DIFF_ID_MISMATCH",
    /diff ID/,
  ],
  ["a wrong diff ID of plain bytes", { stored: tar, diffId: other }, "DIFF_ID_MISMATCH", /diff ID/],
  [
    "a wrong diff ID, nothing else known",
    { stored: gzipped, diffId: other, isUnnamed: true },
    "DIFF_ID_MISMATCH",
    /diff ID/,
  ],
  ["damaged gzip with the digest of the damage", { stored: damaged }, "LAYER_INVALID", /cannot decompress/],
  [
    "damaged gzip with the digest of the right bytes",
    { stored: damaged, digest: sha256Digest(gzipped) },
    "DIGEST_MISMATCH",
    /digest mismatch/,
  ],
  [
    "damaged gzip of another size",
    { stored: damaged, sizeBytes: damaged.length + 5 },
    "SIZE_MISMATCH",
    /size mismatch/,
  ],
  ["truncated gzip", { stored: gzipped.slice(0, -20) }, "LAYER_INVALID", /truncated/],
  [
    "gzip truncated on the way",
    { stored: gzipped.slice(0, -20), digest: sha256Digest(gzipped), sizeBytes: gzipped.length },
    "SIZE_MISMATCH",
    /size mismatch/,
  ],
  [
    "xz",
    { stored: Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3, 4) },
    "COMPRESSION_UNSUPPORTED",
    /xz/,
  ],
])("%s is refused", async (_name, given, code, words) => {
  const layer = layerOf(given);
  const error = await failure(layer);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^layer 3: /);
  expect(error.message).toMatch(words);
  expect(layer.state.isClosed).toBe(true);
});

test("a layer of exactly the limit passes, one byte more is refused with the option to raise it", async () => {
  expect((await collect(open(layerOf({ stored: gzipped }), tar.length))).length).toBe(tar.length);
  const error = await failure(layerOf({ stored: gzipped }), tar.length - 1);
  expect(error.code).toBe("LAYER_TOO_LARGE");
  expect(error.message).toContain("--max-layer-size");
});

test("a bomb is refused before it is inflated", async () => {
  const zeros = new Uint8Array(64 << 20);
  const layer = layerOf({ stored: new Uint8Array(gzipSync(zeros)), tar: zeros }, 1000);
  expect((await failure(layer, 1 << 20)).code).toBe("LAYER_TOO_LARGE");
  expect(layer.state.isClosed).toBe(true);
});

test("reading stops soon after the expected size", async () => {
  const layer = layerOf({ stored: new Uint8Array(1 << 20), sizeBytes: 10_000 }, 1000);
  expect((await failure(layer)).code).toBe("SIZE_MISMATCH");
  expect(layer.state.givenBytes).toBe(11_000);
});

test("a caller that stops early closes the source", async () => {
  for (const stored of [gzipped, tar]) {
    const layer = layerOf({ stored }, 100);
    for await (const piece of open(layer)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect(layer.state.isClosed).toBe(true);
    expect(layer.state.givenBytes).toBeLessThanOrEqual(stored.length);
  }
});

test("errors of the source pass unchanged", async () => {
  const cause = new LambdaImgError("SOURCE_UNAVAILABLE", "gone");
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gzipped.slice(0, 300);
    await Promise.resolve();
    throw cause;
  }
  const layer = layerOf({ stored: gzipped });
  expect(await failure({ descriptor: layer.descriptor, bytes: failing() })).toBe(cause);
});

describe("a hasher elsewhere", () => {
  /** Hashes later, as a thread does: what it is given is good until it says so. */
  class Elsewhere implements TarHasher {
    readonly taken: Uint8Array[] = [];
    closedCount = 0;
    failAt = Infinity;

    async update(bytes: Uint8Array): Promise<void> {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.taken.length >= this.failAt) throw new Error("the thread is no more");
      this.taken.push(bytes.slice());
    }

    async finish(): Promise<Digest> {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.taken.length >= this.failAt) throw new Error("the thread is no more");
      return sha256Digest(concatBytes(...this.taken));
    }

    close(): void {
      this.closedCount++;
    }
  }

  function openBy(hasher: TarHasher, layer: LayerInput): AsyncGenerator<Uint8Array> {
    return openLayer(layer, {
      layerBytesMax: 1 << 30,
      hashTar: (descriptor) => {
        expect(descriptor).toBe(layer.descriptor);
        return hasher;
      },
    });
  }

  test("is given the tar, and its digest is compared", async () => {
    const hasher = new Elsewhere();
    expect(equalBytes(await collect(openBy(hasher, layerOf({ stored: gzipped }))), tar)).toBe(true);
    expect(equalBytes(concatBytes(...hasher.taken), tar)).toBe(true);
    expect(hasher.closedCount).toBe(1);
    const wrong = layerOf({ stored: gzipped, diffId: other });
    await expect(collect(openBy(new Elsewhere(), wrong))).rejects.toMatchObject({
      code: "DIFF_ID_MISMATCH",
    });
    expect(wrong.state.isClosed).toBe(true);
  });

  test("is not asked where the digest as stored is the diff ID", async () => {
    const hasher = new Elsewhere();
    await collect(openBy(hasher, layerOf({ stored: tar })));
    expect(hasher.taken).toEqual([]);
  });

  test("is closed where the layer is damaged or given up, and its failure passes unchanged", async () => {
    const ofDamaged = new Elsewhere();
    await expect(collect(openBy(ofDamaged, layerOf({ stored: damaged })))).rejects.toMatchObject({
      code: "LAYER_INVALID",
    });
    const ofGivenUp = new Elsewhere();
    const givenUp = layerOf({ stored: gzipped });
    for await (const piece of openBy(ofGivenUp, givenUp)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    const failing = new Elsewhere();
    failing.failAt = 0;
    const broken = layerOf({ stored: gzipped });
    await expect(collect(openBy(failing, broken))).rejects.toThrow("the thread is no more");
    expect([ofDamaged, ofGivenUp, failing].map(({ closedCount }) => closedCount)).toEqual([1, 1, 1]);
    expect([givenUp, broken].map(({ state }) => state.isClosed)).toEqual([true, true]);
  });
});
