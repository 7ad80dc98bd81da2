// Images made of nothing but a recipe: any number of bytes or files, the same ones each time, streamed into their layers.
import { createCipheriv, createHash } from "node:crypto";
import { rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { encodeTarEntry, TAR_END, tarPadding } from "../../dist/tar/writer.js";
import { storeLayer, writeLayout } from "./_layout.mjs";
import { dayOf, makeRandom } from "./_tree.mjs";

const KIB = 1024;
const PIECE_BYTES = 256 * KIB;

/** Files that make 8 MiB: half of the bytes in one file, the others smaller and smaller. 85 files, 96 KiB on average. */
const UNIT_FILES = [
  { count: 1, sizeBytes: 4096 * KIB },
  { count: 4, sizeBytes: 512 * KIB },
  { count: 16, sizeBytes: 64 * KIB },
  { count: 64, sizeBytes: 16 * KIB },
];
/** Bytes of the files of one unit. */
export const UNIT_BYTES = UNIT_FILES.reduce((sum, { count, sizeBytes }) => sum + count * sizeBytes, 0);

const FILES_A_DIRECTORY = 100;
const SMALL_FILE_BYTES_MAX = 2048;

/** An image of about `sizeBytes` of files (whole units), spread evenly over its layers. Files and bytes grow together. */
export function recipeOfBytes(sizeBytes, layerCount = 1) {
  const unitCount = Math.max(layerCount, Math.round(sizeBytes / UNIT_BYTES));
  const layers = Array.from({ length: layerCount }, (_, layer) => ({
    seed: layer + 1,
    *files() {
      for (let unit = layer; unit < unitCount; unit += layerCount) yield* unitFiles(unit);
    },
  }));
  return { sizeBytes: unitCount * UNIT_BYTES, fileCount: unitCount * 85, layers };
}

/** An image of one layer with this many files of 0 to 2 KiB of text, 100 in a directory. */
export function recipeOfFiles(fileCount) {
  const files = function* () {
    for (let index = 0; index < fileCount; index++) {
      const name = `files/${Math.floor(index / FILES_A_DIRECTORY)}/${index % FILES_A_DIRECTORY}.txt`;
      yield { name, sizeBytes: (index * 37) % SMALL_FILE_BYTES_MAX, isText: true };
    }
  };
  let sizeBytes = 0;
  for (const file of files()) sizeBytes += file.sizeBytes;
  return { sizeBytes, fileCount, layers: [{ seed: 1, files }] };
}

/** Writes a recipe's image below `directory`; gives its layout and the bytes of its layers as stored. */
export async function makeSynthetic({ layers }, directory) {
  const pool = path.join(directory, "layers");
  const made = [];
  // gzip is what takes the time, and it has one thread.
  const atOnce = os.availableParallelism();
  for (let first = 0; first < layers.length; first += atOnce) {
    const batch = layers.slice(first, first + atOnce);
    made.push(...(await Promise.all(batch.map((layer) => storeLayer(tarOf(layer), pool)))));
  }
  const layout = path.join(directory, "oci");
  writeLayout(layout, made);
  rmSync(pool, { recursive: true });
  return { layout, storedBytes: made.reduce((sum, { size }) => sum + size, 0) };
}

/** A layer's tar in pieces: directories before what is in them. */
export function* tarOf({ seed, files }) {
  const content = new Content(seed);
  const known = new Set();
  for (const { name, sizeBytes, isText } of files()) {
    const parts = name.split("/").slice(0, -1);
    for (const [index] of parts.entries()) {
      const folder = `${parts.slice(0, index + 1).join("/")}/`;
      if (known.has(folder)) continue;
      known.add(folder);
      yield encodeTarEntry(entryOf({ path: folder, type: "dir", mode: 0o755, sizeBytes: 0 }));
    }
    yield encodeTarEntry(entryOf({ path: name, type: "file", mode: 0o644, sizeBytes }));
    for (let at = 0; at < sizeBytes; at += PIECE_BYTES)
      yield content.next(Math.min(PIECE_BYTES, sizeBytes - at), isText);
    yield tarPadding(sizeBytes);
  }
  yield TAR_END;
}

function* unitFiles(unit) {
  let index = 0;
  for (const { count, sizeBytes } of UNIT_FILES) {
    for (let each = 0; each < count; each++, index++) {
      // One file in four, the large ones in turn, is as if compressed: photographs, archives.
      yield { name: `units/${unit}/${index}.bin`, sizeBytes, isText: (unit + index) % 4 !== 0 };
    }
  }
}

function entryOf(fields) {
  return {
    uid: 0,
    gid: 0,
    mtime: { seconds: dayOf(0), nanoseconds: 0 },
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
    sparseRegions: undefined,
    ...fields,
  };
}

/** Bytes without end, from a seed: a cipher's keystream, or runs of a few bytes out of 16 KiB of words. */
class Content {
  #keystream;
  #random;
  #words;

  constructor(seed) {
    const key = createHash("sha256").update(`lambda-img bench ${seed}`).digest();
    this.#keystream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
    this.#random = makeRandom(seed);
    const letters = Array.from({ length: 16 * KIB }, () => {
      const number = this.#random();
      return number % 6 === 0 ? 0x20 : 0x61 + ((number >>> 8) % 26);
    });
    this.#words = Buffer.from(letters);
  }

  /** In fresh memory. */
  next(sizeBytes, isText) {
    const bytes = Buffer.alloc(sizeBytes);
    if (!isText) return this.#keystream.update(bytes);
    for (let at = 0; at < sizeBytes;) {
      const number = this.#random();
      const start = number % (this.#words.length - 16);
      const end = Math.min(sizeBytes, at + 6 + ((number >>> 16) & 15));
      for (let from = start; at < end;) bytes[at++] = this.#words[from++];
    }
    return bytes;
  }
}
