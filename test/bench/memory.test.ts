/**
 * Memory stays flat: the bounds that docs/benchmarks.md gives, held against what the kernel counts for all processes. The layers
 * have few distinct chunks and compress well, so that they come faster than chunks can be sealed and take no disk.
 */
import { createHash, type Hash } from "node:crypto";
import { createWriteStream, renameSync, statSync } from "node:fs";
import { platform } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { measure } from "./_measure.mjs";
import { CliHome, isBuilt, PROGRAM } from "../support/cli-run.ts";
import { LayoutBuilder } from "../support/oci-layout.ts";
import { encodeHeader } from "../support/tar-builder.ts";

const MIB = 2 ** 20;
const MANY_FILES = 1_000_000;

describe.runIf(platform() === "linux" && isBuilt)("peak memory (needs Linux, npm run build)", () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
  });
  afterEach(() => {
    home.remove();
  });

  const peakOf = async (
    layers: readonly Iterable<Uint8Array>[],
    options: readonly string[] = [],
  ): Promise<number> => {
    const layout = path.join(home.path, "app");
    await writeImage(new LayoutBuilder(layout), layers);
    const places = ["--store", home.storePath, "--key", home.keyPath];
    const { peakBytes } = await measure([
      ...[process.execPath, PROGRAM, "convert", `oci:${layout}`, "--quiet"],
      ...[...places, ...options],
    ]);
    return peakBytes ?? Infinity;
  };

  const cases = [[[]], [["--jobs", "8"]]];
  test.each(cases)("is below 300 MiB for layers of 2 GiB, %j", { timeout: 300_000 }, async (options) => {
    const peak = await peakOf([1, 2, 3, 4].map(largeFiles), options);
    expect(peak).toBeLessThan(300 * MIB);
  });

  test(`is below 600 MiB for ${MANY_FILES} files`, { timeout: 300_000 }, async () => {
    expect(await peakOf([smallFiles(MANY_FILES)])).toBeLessThan(600 * MIB);
  });
});

/** The tar of 512 MiB: files of 64 MiB, each half MiB of which is one of 16 that the layer has. */
function* largeFiles(layer: number): Generator<Uint8Array> {
  const pieces = Array.from({ length: 16 }, (_, index) =>
    Buffer.alloc(MIB / 2, `piece ${index} of ${layer}\n`),
  );
  for (let file = 0; file < 8; file++) {
    yield encodeHeader({ name: `layer-${layer}/file-${file}`, size: 64 * MIB });
    for (let turn = 0; turn < 8; turn++) yield* pieces;
  }
  yield new Uint8Array(1024);
}

/** The tar of files that have one byte each, a hundred in a directory. */
function* smallFiles(count: number): Generator<Uint8Array> {
  const template = Buffer.alloc(1024, "x");
  template.fill(0, 513);
  template.set(encodeHeader({ name: "directory-00000/with-a-file-00", size: 1 }));
  const digitsAt = [10, 11, 12, 13, 14, 28, 29];
  const zeroSum = parseInt(template.toString("latin1", 148, 154), 8);
  for (let file = 0; file < count; file++) {
    const entry = Buffer.from(template);
    let sum = zeroSum;
    for (let at = digitsAt.length - 1, rest = file; at >= 0; at--, rest = Math.floor(rest / 10)) {
      entry[digitsAt[at] ?? 0] = 0x30 + (rest % 10);
      sum += rest % 10;
    }
    entry.write(sum.toString(8).padStart(6, "0"), 148, "latin1");
    yield entry;
  }
  yield new Uint8Array(1024);
}

/** Writes an image of gzip layers, piece by piece: they are larger than a test may be. */
async function writeImage(builder: LayoutBuilder, tars: readonly Iterable<Uint8Array>[]): Promise<void> {
  const diffIds: string[] = [];
  const layers: unknown[] = [];
  for (const tar of tars) {
    const [plain, stored] = [createHash("sha256"), createHash("sha256")];
    const file = path.join(builder.directory, "layer");
    const gzip = createGzip({ level: 1, chunkSize: MIB });
    await pipeline(tar, hashedWith(plain), gzip, hashedWith(stored), createWriteStream(file));
    const digest = stored.digest("hex");
    diffIds.push(`sha256:${plain.digest("hex")}`);
    layers.push({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: `sha256:${digest}`,
      size: statSync(file).size,
    });
    renameSync(file, path.join(builder.directory, "blobs", "sha256", digest));
  }
  const config = { rootfs: { type: "layers", diff_ids: diffIds } };
  builder.index([builder.image({ layers: [], config, manifest: { layers } })]);
}

/** What hands the pieces of a stream on, and tells the hash of them. */
function hashedWith(hash: Hash) {
  return async function* (
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      hash.update(piece);
      yield piece;
    }
  };
}
