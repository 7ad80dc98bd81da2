import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { KnownImages } from "../../src/convert/known-image.ts";
import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { sealRecord } from "../../src/crypto/record-seal.ts";
import { encodeImageRecord, type ImageRecord } from "../../src/manifest/image-record.ts";
import { tableChunkNames } from "../../src/manifest/manifest.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { hex } from "../support/noble.ts";
import {
  conversionIdentityWithNoble,
  conversionSecretsWithNoble,
  sealRecordWithNoble,
} from "../support/noble-record.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { SALT } from "./_memory.ts";
import {
  CHUNK_FILES,
  CONVERSION_FILES,
  KEY_BYTES,
  KEYRING,
  MANIFEST_FILES,
  OTHER_KEYRING,
  ReusePlace,
  sameOf,
  type ReuseRun,
  type ReuseUse,
} from "../support/reuse-place.ts";

const BASE = tarBuilder().file("a", "1".repeat(600_000)).file("hidden", "2".repeat(5000)).end();
const UPPER = tarBuilder()
  .pax([["mtime", "99999999999"]])
  .file("late")
  .file(".wh.hidden")
  .end();

let place: ReusePlace;
let first: ReuseRun;
beforeEach(async () => {
  place = new ReusePlace();
  first = await place.convert([BASE, UPPER]);
});
afterEach(() => {
  place.remove();
});

const again = (use: ReuseUse = {}): Promise<ReuseRun> => place.convert([BASE, UPPER], use);
const onlyFile = (pattern: RegExp): string => place.storePath("store", ...place.files(pattern).keys());

/** The image record of the first image's manifest. */
async function recordOf(run: ReuseRun): Promise<ImageRecord> {
  const store = await place.open();
  const bytes = await store.getManifest(KEYRING.customerId, run.result.manifestId);
  await store.close();
  return openManifest(bytes, KEYRING.customerKey()).image;
}

describe("an image that was converted before", () => {
  test("is not asked for one layer, and gets another name with nothing else written", async () => {
    expect(first.result.clampedTimeCount).toBe(1);
    const before = place.files(/./);
    const found = await again({ imageName: "another" });
    expect(found.layersRead).toBeUndefined();
    expect(sameOf(found)).toEqual(sameOf(first));
    const { chunks } = first.result;
    expect(found.result).toMatchObject({
      ...{ reusedLayerCount: 2, layerBytes: 0, storedBytes: 0 },
      chunks: { zero: chunks.zero, unique: chunks.unique, new: 0, reused: chunks.unique, kept: 0 },
    });
    const after = place.files(/./);
    expect([...after.keys()].filter((name) => !before.has(name))).toEqual([
      `roots/r0/refs/${KEYRING.customerId}/another`,
    ]);
    for (const [name, digest] of before) expect(after.get(name)).toBe(digest);
  });

  test("has the record that the format says", async () => {
    const image = await recordOf(first);
    const blank = {
      ...image,
      diskDigest: `sha256:${"0".repeat(64)}` as typeof image.diskDigest,
      segments: [],
    };
    const noble = sealRecordWithNoble({
      customerKey: KEY_BYTES,
      identity: conversionIdentityWithNoble({
        record: new TextDecoder().decode(encodeImageRecord(blank)),
        salt: hex(SALT),
      }),
      clear: new Uint8Array(0),
      secrets: conversionSecretsWithNoble(first.result.manifestId, 1),
    });
    const file = onlyFile(CONVERSION_FILES);
    expect(path.basename(file)).toBe(noble.name);
    expect(hex(readFileSync(file))).toBe(hex(noble.bytes));
  });

  test.each<[string, ReuseUse]>([
    ["size", { sizeRequest: { kind: "free", sizeBytes: 2 ** 20 } }],
    ["mtime", { mtimePolicy: { kind: "zero" } }],
    ["platform", { image: { platform: { os: "linux", architecture: "amd64", variant: "v2" } } }],
    ["environment", { image: { run: { Env: ["A=1"] } } }],
    ["manifest of the source", { image: { manifest: { annotations: { a: "b" } } } }],
  ])("is not taken for one of another %s, of which the layers are known", async (_, use) => {
    const other = await again(use);
    expect(other.layersRead).toEqual([]);
    expect(other.result.reusedLayerCount).toBe(2);
    expect(other.result.manifestId).not.toBe(first.result.manifestId);
    expect(sameOf(other)).toEqual(sameOf(await again({ ...use, at: "fresh" })));
    expect(place.files(CONVERSION_FILES).size).toBe(2);
    expect((await again(use)).layersRead).toBeUndefined();
  });

  test("is converted again for another customer, and where reuse is not wanted", async () => {
    expect((await again({ keyring: OTHER_KEYRING })).layersRead).toEqual([0, 1]);
    const unwanted = await again({ mayReuse: false });
    expect(unwanted.layersRead).toEqual([0, 1]);
    expect(sameOf(unwanted)).toEqual(sameOf(first));
  });

  test("gets no name when it is cancelled", async () => {
    const cancelled = again({ imageName: "cancelled", signal: AbortSignal.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: "CANCELLED" });
    expect([...place.files(/refs\//).keys()]).toEqual([`roots/r0/refs/${KEYRING.customerId}/test`]);
  });
});

describe("an image whose parts are damaged is converted again and healed:", () => {
  const half = (file: string): void => {
    truncateSync(file, Math.floor(readFileSync(file).length / 2));
  };
  const flip = (file: string): void => {
    writeFileSync(
      file,
      readFileSync(file).map((byte, at) => (at === 70 ? byte ^ 1 : byte)),
    );
  };

  test.each<[string, (file: string) => void]>([
    ["gone", rmSync],
    ["cut short", half],
    [
      "empty",
      (file) => {
        truncateSync(file, 0);
      },
    ],
    ["changed", flip],
  ])("its manifest is %s", async (_, damage) => {
    const files = place.files(/./);
    damage(onlyFile(MANIFEST_FILES));
    const healed = await again();
    expect(healed.layersRead).toEqual([]);
    expect(sameOf(healed)).toEqual(sameOf(first));
    expect(place.files(/./)).toEqual(files);
    expect((await again()).layersRead).toBeUndefined();
  });

  test("any of its chunks is gone or cut short", async () => {
    const store = await place.open();
    const bytes = await store.getManifest(KEYRING.customerId, first.result.manifestId);
    await store.close();
    const names = new Set(tableChunkNames(openManifest(bytes, KEYRING.customerKey())));
    const files = place.files(CHUNK_FILES);
    expect(names.size).toBeGreaterThan(2);
    for (const name of names) {
      const file = place.storePath("store", "roots", "r0", "chunks", name.slice(0, 2), name);
      for (const damage of [rmSync, half]) {
        damage(file);
        const healed = await again();
        expect(healed.layersRead).toBeDefined();
        expect(sameOf(healed)).toEqual(sameOf(first));
        expect(place.files(CHUNK_FILES)).toEqual(files);
      }
    }
  });

  test.each<[string, (file: string) => void]>([
    ["gone", rmSync],
    [
      "empty",
      (file) => {
        truncateSync(file, 0);
      },
    ],
    ["cut short", half],
    ["changed", flip],
    [
      "a chunk",
      (file) => {
        writeFileSync(file, new Uint8Array(CHUNK_BYTES));
      },
    ],
  ])("its record is %s", async (_, damage) => {
    const files = place.files(/./);
    damage(onlyFile(CONVERSION_FILES));
    const healed = await again();
    expect(healed.layersRead).toEqual([]);
    expect(sameOf(healed)).toEqual(sameOf(first));
    expect(place.files(/./)).toEqual(files);
  });
});

describe("a record is not believed", () => {
  test("that is another image's", async () => {
    const file = onlyFile(CONVERSION_FILES);
    const other = await again({ mtimePolicy: { kind: "zero" } });
    const otherFile = [...place.files(CONVERSION_FILES).keys()]
      .map((name) => place.storePath("store", name))
      .find((name) => name !== file)!;
    copyFileSync(otherFile, file);
    const found = await again();
    expect(found.layersRead).toEqual([]);
    expect(found.result.manifestId).not.toBe(other.result.manifestId);
    expect(sameOf(found)).toEqual(sameOf(first));
  });

  test.each([
    ["names another image's manifest, with a seal that fits", "other"],
    ["names a manifest that is not there, with a seal that fits", `sha256:${"1".repeat(64)}`],
    ["names no manifest, with a seal that fits", "none"],
  ])("that %s", async (_, named) => {
    const other = await again({ mtimePolicy: { kind: "zero" } });
    for (const name of place.files(CONVERSION_FILES).keys()) {
      const file = place.storePath("store", name);
      const manifestId = named === "other" ? other.result.manifestId : named;
      const secrets = conversionSecretsWithNoble(manifestId, 7);
      const recordName = parseRecordName(path.basename(file))!;
      const parts = { clear: new Uint8Array(0), secrets };
      writeFileSync(file, sealRecord(recordName, parts, KEYRING.customerKey()));
    }
    const found = await again();
    expect(found.layersRead).toEqual([]);
    expect(sameOf(found)).toEqual(sameOf(first));
  });

  test("that ends elsewhere, or of which any byte is another", async () => {
    const store = await place.open();
    const images = new KnownImages(store, KEYRING);
    const facts = await recordOf(first);
    const file = onlyFile(CONVERSION_FILES);
    const right = new Uint8Array(readFileSync(file));
    expect(await images.find(facts)).toMatchObject({ manifestId: first.result.manifestId });
    for (let at = 0; at < right.length; at++) {
      writeFileSync(file, right.subarray(0, at));
      expect(await images.find(facts)).toBeUndefined();
      const changed = Uint8Array.from(right);
      changed[at]! ^= 1 << (at & 7);
      writeFileSync(file, changed);
      expect(await images.find(facts)).toBeUndefined();
    }
    await store.close();
  });
});
