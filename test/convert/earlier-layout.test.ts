/** Records of an earlier layout of disk images say nothing about today's: their names are others (docs/format/record.md). */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { openRecord } from "../../src/crypto/record-seal.ts";
import { LAYOUT_VERSION } from "../../src/ext4/profile.ts";
import { encodeImageRecord } from "../../src/manifest/image-record.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { clearBytesOf } from "../../src/segment/segment-record.ts";
import { hex } from "../support/noble.ts";
import {
  conversionIdentityWithNoble,
  conversionSecretsWithNoble,
  sealRecordWithNoble,
  segmentIdentityWithNoble,
} from "../support/noble-record.ts";
import { digestOf } from "../support/oci-layout.ts";
import {
  CONVERSION_FILES,
  KEY_BYTES,
  KEYRING,
  ReusePlace,
  sameOf,
  SEGMENT_FILES,
  type ReuseRun,
} from "../support/reuse-place.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { SALT } from "./_memory.ts";

const LAYER = tarBuilder().dir("d").file("d/a", "1".repeat(700_000)).file("d/b", "2".repeat(9000)).end();
const EARLIER = Array.from({ length: LAYOUT_VERSION - 1 }, (_, i) => i + 1);

let place: ReusePlace;
let first: ReuseRun;
beforeEach(async () => {
  place = new ReusePlace();
  first = await place.convert([LAYER]);
});
afterEach(() => {
  place.remove();
});

const onlyFile = (pattern: RegExp): string => place.storePath("store", ...place.files(pattern).keys());

test.each(EARLIER)(
  "a layer is read again where its record is of layout %i, though that opens",
  async (version) => {
    const file = onlyFile(SEGMENT_FILES);
    const bytes = new Uint8Array(readFileSync(file));
    const name = parseRecordName(path.basename(file))!;
    const parts = openRecord(name, { bytes, clearBytes: clearBytesOf(bytes) }, KEYRING.customerKey())!;
    const sealedFor = (layoutVersion: number): ReturnType<typeof sealRecordWithNoble> => {
      const identity = segmentIdentityWithNoble({ diffId: digestOf(LAYER), layoutVersion, salt: hex(SALT) });
      return sealRecordWithNoble({ customerKey: KEY_BYTES, identity, ...parts });
    };
    expect(Buffer.compare(sealedFor(LAYOUT_VERSION).bytes, bytes)).toBe(0);
    const earlier = sealedFor(version);
    writeFileSync(path.join(path.dirname(file), earlier.name), earlier.bytes);
    rmSync(file);
    place.forgetConversions();
    const again = await place.convert([LAYER]);
    expect(again.layersRead).toEqual([0]);
    expect(sameOf(again)).toEqual(sameOf(first));
    // Nor is it used where it was laid under the name of today's.
    writeFileSync(file, earlier.bytes);
    place.forgetConversions();
    expect((await place.convert([LAYER])).layersRead).toEqual([0]);
    expect(Buffer.compare(readFileSync(file), bytes)).toBe(0);
  },
);

test.each(EARLIER)("an image is laid out again where its record is of layout %i", async (layoutVersion) => {
  const store = await place.open();
  const manifest = await store.getManifest(KEYRING.customerId, first.result.manifestId);
  await store.close();
  const { image } = openManifest(manifest, KEYRING.customerKey());
  const diskDigest = `sha256:${"0".repeat(64)}` as typeof image.diskDigest;
  const sealedFor = (version: number): ReturnType<typeof sealRecordWithNoble> => {
    const record = encodeImageRecord({ ...image, layoutVersion: version, diskDigest, segments: [] });
    return sealRecordWithNoble({
      customerKey: KEY_BYTES,
      identity: conversionIdentityWithNoble({ record: new TextDecoder().decode(record), salt: hex(SALT) }),
      clear: new Uint8Array(0),
      secrets: conversionSecretsWithNoble(first.result.manifestId, 0),
    });
  };
  const file = onlyFile(CONVERSION_FILES);
  expect(hex(readFileSync(file))).toBe(hex(sealedFor(LAYOUT_VERSION).bytes));
  rmSync(file);
  const earlier = sealedFor(layoutVersion);
  writeFileSync(path.join(path.dirname(file), earlier.name), earlier.bytes);
  const again = await place.convert([LAYER]);
  // Not `undefined`: the source was asked, though its layers are known.
  expect(again.layersRead).toEqual([]);
  expect(sameOf(again)).toEqual(sameOf(first));
});
