import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync, cpSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { asDiffId, parseDigest } from "../../src/base/digest.ts";
import { RECORD_BYTES_MAX } from "../../src/base/limit.ts";
import { LayerReuse } from "../../src/convert/layer-reuse.ts";
import { sealRecord } from "../../src/crypto/record-seal.ts";
import { LAYOUT_VERSION } from "../../src/ext4/profile.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { digestOf } from "../support/oci-layout.ts";
import { fsck, run, testWith } from "../support/judge.ts";
import { hex } from "../support/noble.ts";
import { sealRecordWithNoble, segmentIdentityWithNoble } from "../support/noble-record.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { SALT } from "./_memory.ts";
import {
  CHUNK_FILES,
  KEY_BYTES,
  KEYRING,
  MANIFEST_FILES,
  OTHER_KEYRING,
  readDisk,
  ReusePlace,
  sameOf,
  SEGMENT_FILES,
  type ReuseRun,
  type ReuseUse,
} from "../support/reuse-place.ts";

const SECRET = "what an upper layer hides is not in the disk image";
const BASE = tarBuilder()
  .dir("d")
  .file("d/a", "1".repeat(700_000))
  .file("secret", SECRET.repeat(20))
  .file("d/b", "2".repeat(9000))
  .end();
const UPPER = tarBuilder().file(".wh.secret").file("d/c", "3").end();
const OTHER = tarBuilder().file("other", "4".repeat(100)).end();

const diffIdOf = (tar: Uint8Array): ReturnType<typeof asDiffId> =>
  asDiffId(parseDigest(digestOf(tar), "test"));

/** The name that docs/format/record.md gives the record of a layer, and the part of it that is not the seal's. */
function nobleName(tar: Uint8Array, salt: Uint8Array = SALT, customerKey: Uint8Array = KEY_BYTES): string {
  const none = new Uint8Array(0);
  const facts = { diffId: digestOf(tar), layoutVersion: LAYOUT_VERSION, salt: hex(salt) };
  return sealRecordWithNoble({
    ...{ customerKey, identity: segmentIdentityWithNoble(facts) },
    ...{ clear: none, secrets: none },
  }).name;
}

let place: ReusePlace;
beforeEach(() => {
  place = new ReusePlace();
});
afterEach(() => {
  place.remove();
});

const recordPath = (tar: Uint8Array, customerId: string = KEYRING.customerId, at = "store"): string =>
  place.storePath(at, "roots", "r0", "segments", customerId, nobleName(tar));

/** The conversion into a store of its own that has nothing. */
const fresh = (tars: readonly Uint8Array[], use: ReuseUse = {}): Promise<ReuseRun> =>
  place.convert(tars, { ...use, at: `fresh${freshCount++}` });
let freshCount = 0;

describe("a layer that was converted before", () => {
  test("is not read again, and gives the same image; its hidden files are patched from its chunks", async () => {
    const alone = await place.convert([BASE]);
    expect(alone.layersRead).toEqual([0]);
    const rebuilt = await place.convert([BASE, UPPER]);
    expect(rebuilt.layersRead).toEqual([1]);
    expect(rebuilt.result).toMatchObject({ reusedLayerCount: 1 });
    const full = await fresh([BASE, UPPER]);
    expect(sameOf(rebuilt)).toEqual(sameOf(full));
    expect(full.result).toMatchObject({ reusedLayerCount: 0, chunks: { kept: 1 } });
    // The chunk with the secret came with the first image; the new layer has none that is not in its image.
    expect(rebuilt.result.chunks.kept).toBe(0);
    const store = await place.open();
    const disk = Buffer.from(await readDisk(store, KEYRING, rebuilt.result));
    await store.close();
    expect(disk.includes(SECRET)).toBe(false);
    expect(disk.includes("2".repeat(9000))).toBe(true);
  });

  test("has its record where the format says, whatever it is an upper layer of", async () => {
    await place.convert([BASE, UPPER]);
    await place.convert([OTHER, UPPER]);
    const names = [...place.files(SEGMENT_FILES).keys()].map((name) => path.basename(name));
    expect(names).toEqual(
      [BASE, UPPER, OTHER].map((tar) => nobleName(tar)).sort((left, right) => (left < right ? -1 : 1)),
    );
  });

  test("gives all images that have it, in any order of hiding, what a full conversion gives", async () => {
    const files = Array.from({ length: 6 }, (_, i) => `f${i}`);
    const base = tarBuilder();
    for (const [i, name] of files.entries()) base.file(name, `${SECRET}${i}`.repeat(1500 * (i + 1)));
    const bottom = base.end();
    const hide = (...names: readonly string[]): Uint8Array => {
      const tar = tarBuilder();
      for (const name of names) tar.file(`.wh.${name}`);
      return tar.end();
    };
    const [one, two] = [hide("f1", "f4"), hide("f0", "f2", "f3")];
    const replace = tarBuilder().file("f5", "short").hardlink("f6", "f5").end();
    const opaque = tarBuilder().file(".wh..wh..opq").file("f0", "new").end();
    await place.convert([bottom]);
    const images = [
      ...[
        [bottom, one],
        [bottom, two],
        [bottom, one, two],
        [bottom, two, one],
      ],
      ...[
        [bottom, replace],
        [bottom, opaque],
        [bottom, one, opaque, replace],
        [bottom, opaque, bottom],
      ],
    ];
    const seen = new Set([bottom]);
    for (const image of images) {
      const reused = await place.convert(image);
      const expected = [...new Set(image)].filter((tar) => !seen.has(tar)).map((tar) => image.indexOf(tar));
      expect(reused.layersRead).toEqual(expected);
      expect(sameOf(reused)).toEqual(sameOf(await fresh(image)));
      for (const tar of image) seen.add(tar);
    }
  });

  test("may stand twice in an image", async () => {
    await place.convert([BASE]);
    const twice = await place.convert([BASE, UPPER, BASE]);
    expect(twice.layersRead).toEqual([1]);
    expect(twice.result.reusedLayerCount).toBe(2);
    expect(sameOf(twice)).toEqual(sameOf(await fresh([BASE, UPPER, BASE])));
  });

  test("is read all the same where reuse is not wanted, and gives the same", async () => {
    const first = await place.convert([BASE, UPPER]);
    const records = place.files(SEGMENT_FILES);
    const again = await place.convert([BASE, UPPER], { mayReuse: false });
    expect(again.layersRead).toEqual([0, 1]);
    expect(sameOf(again)).toEqual(sameOf(first));
    expect(again.result).toMatchObject({ reusedLayerCount: 0, storedBytes: 0, chunks: { new: 0, kept: 0 } });
    expect(place.files(SEGMENT_FILES)).toEqual(records);
  });

  test("helps neither another customer nor another root", async () => {
    await place.convert([BASE, UPPER]);
    const other = await place.convert([BASE, UPPER], { keyring: OTHER_KEYRING });
    expect(other.layersRead).toEqual([0, 1]);
    expect(sameOf(other)).toEqual(sameOf(await fresh([BASE, UPPER], { keyring: OTHER_KEYRING })));
    // A second root takes over as the active one; the records are laid before it as if they were its own.
    const roots = place.storePath("store", "roots");
    const state = (rootId: string, is: string): string =>
      `${JSON.stringify({ format: "lambda-img root", version: 1, rootId, state: is, epoch: 0, placement: "" })}\n`;
    for (const name of ["chunks", "manifests", "refs", "tmp"])
      mkdirSync(path.join(roots, "r1", name), { recursive: true });
    cpSync(path.join(roots, "r0", "segments"), path.join(roots, "r1", "segments"), { recursive: true });
    cpSync(path.join(roots, "r0", "conversions"), path.join(roots, "r1", "conversions"), { recursive: true });
    writeFileSync(path.join(roots, "r0", "root.json"), state("r0", "retired"));
    writeFileSync(path.join(roots, "r1", "root.json"), state("r1", "active"));
    const later = await place.convert([BASE, UPPER]);
    expect(later.layersRead).toEqual([0, 1]);
    expect(later.disk).toBe(other.disk);
  });

  test("is not used for another layout: the version is in the name", async () => {
    await place.convert([BASE]);
    const identity = segmentIdentityWithNoble({
      diffId: digestOf(BASE),
      layoutVersion: LAYOUT_VERSION + 1,
      salt: hex(SALT),
    });
    const none = new Uint8Array(0);
    const { name } = sealRecordWithNoble({ customerKey: KEY_BYTES, identity, clear: none, secrets: none });
    expect([...place.files(SEGMENT_FILES).keys()].map((file) => path.basename(file))).not.toContain(name);
  });

  test("gives no name to an image whose conversion is cancelled", async () => {
    await place.convert([BASE, UPPER]);
    place.forgetConversions();
    const before = place.files(/refs\//);
    for (const stage of ["flatten", "hide", "metadata", "durable"]) {
      const abort = new AbortController();
      const stopped = place.convert([BASE, UPPER], {
        imageName: "stopped",
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.stage === stage) abort.abort();
        },
      });
      await expect(stopped).rejects.toMatchObject({ code: "CANCELLED" });
    }
    await expect(place.convert([BASE, UPPER], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELLED",
    });
    expect(place.files(/refs\//)).toEqual(before);
  });
});

describe("a record that is not right", () => {
  /** Each leaves something else in the place of the base's record. */
  const damages: readonly [string, (file: string) => void | Promise<void>][] = [
    [
      "gone",
      (file) => {
        rmSync(file);
      },
    ],
    [
      "empty",
      (file) => {
        truncateSync(file, 0);
      },
    ],
    [
      "cut short",
      (file) => {
        truncateSync(file, 100);
      },
    ],
    [
      "one byte short",
      (file) => {
        truncateSync(file, readFileSync(file).length - 1);
      },
    ],
    [
      "larger than any record",
      (file) => {
        truncateSync(file, RECORD_BYTES_MAX + 1);
      },
    ],
    [
      "zeros",
      (file) => {
        writeFileSync(file, new Uint8Array(readFileSync(file).length));
      },
    ],
    [
      "another layer's",
      (file) => {
        cpSync(path.join(path.dirname(file), nobleName(UPPER)), file);
      },
    ],
    [
      "another customer's",
      async (file) => {
        await place.convert([BASE], { keyring: OTHER_KEYRING, imageName: "theirs" });
        const name = nobleName(BASE, SALT, new Uint8Array(32).fill(6));
        cpSync(place.storePath("store", "roots", "r0", "segments", OTHER_KEYRING.customerId, name), file);
      },
    ],
    [
      "of a chunk that was never there",
      (file) => {
        const name = parseRecordName(path.basename(file))!;
        const clear = readFileSync(file).subarray(0, 24 + 36);
        const changed = Uint8Array.from(clear);
        new DataView(changed.buffer).setUint32(20, 1, true);
        changed.fill(7, 28);
        const secrets = Uint8Array.from([...new Uint8Array(64), 0]);
        writeFileSync(file, sealRecord(name, { clear: changed, secrets }, KEYRING.customerKey()));
      },
    ],
    [
      "of a form that is not known, behind a seal that fits",
      (file) => {
        const name = parseRecordName(path.basename(file))!;
        const clear = Uint8Array.from(readFileSync(file).subarray(0, 24));
        new DataView(clear.buffer).setUint32(20, 0, true);
        writeFileSync(file, sealRecord(name, { clear, secrets: Uint8Array.of(255) }, KEYRING.customerKey()));
      },
    ],
  ];

  test.each(damages)(
    "%s: the layer is read again, the image is right, the record is mended",
    async (_, damage) => {
      const first = await place.convert([BASE, UPPER]);
      place.forgetConversions();
      const file = recordPath(BASE);
      const right = readFileSync(file);
      await damage(file);
      const again = await place.convert([BASE, UPPER]);
      expect(again.layersRead).toEqual([0]);
      expect(sameOf(again)).toEqual(sameOf(first));
      expect(Buffer.compare(readFileSync(file), right)).toBe(0);
      place.forgetConversions();
      expect((await place.convert([BASE, UPPER])).layersRead).toEqual([]);
    },
  );

  test("is not used, whichever byte is another and wherever it ends", async () => {
    await place.convert([UPPER]);
    const file = recordPath(UPPER);
    const right = new Uint8Array(readFileSync(file));
    const store = await place.open();
    const reuse = new LayerReuse(store, KEYRING);
    expect(await reuse.find(diffIdOf(UPPER))).toBeDefined();
    for (let at = 0; at < right.length; at++) {
      writeFileSync(file, right.subarray(0, at));
      expect(await reuse.find(diffIdOf(UPPER))).toBeUndefined();
      const changed = Uint8Array.from(right);
      changed[at]! ^= 1 << (at & 7);
      writeFileSync(file, changed);
      expect(await reuse.find(diffIdOf(UPPER))).toBeUndefined();
    }
    writeFileSync(file, right);
    expect(await reuse.find(diffIdOf(UPPER))).toBeDefined();
    await store.close();
  });
});

test("a chunk of a known layer that is gone or cut short comes back with the layer", async () => {
  const first = await place.convert([BASE, UPPER]);
  const chunks = place.files(CHUNK_FILES);
  const baseRecord = readFileSync(recordPath(BASE));
  const names = Array.from({ length: baseRecord.readUInt32LE(20) }, (_, i) =>
    baseRecord.subarray(24 + i * 36 + 4, 24 + (i + 1) * 36).toString("hex"),
  );
  expect(names.length).toBeGreaterThan(1);
  for (const name of names) {
    for (const damage of [
      rmSync,
      (file: string) => {
        truncateSync(file, 4096);
      },
    ]) {
      place.forgetConversions();
      damage(place.storePath("store", "roots", "r0", "chunks", name.slice(0, 2), name));
      const again = await place.convert([BASE, UPPER]);
      expect(again.layersRead).toEqual([0]);
      expect(sameOf(again)).toEqual(sameOf(first));
      expect(place.files(CHUNK_FILES)).toEqual(chunks);
    }
  }
});

test("a chunk of a known layer that is damaged in its full size is not patched: the conversion says so", async () => {
  await place.convert([BASE]);
  for (const name of place.files(CHUNK_FILES).keys()) {
    const file = place.storePath("store", name);
    writeFileSync(
      file,
      readFileSync(file).map((byte) => byte ^ 1),
    );
  }
  const before = place.files(MANIFEST_FILES);
  await expect(place.convert([BASE, UPPER])).rejects.toMatchObject({ code: "CHUNK_CORRUPT" });
  expect(place.files(MANIFEST_FILES)).toEqual(before);
});

describe("judged from outside", () => {
  testWith(["e2fsck"], "e2fsck finds nothing to say of a disk image of known layers", async () => {
    await place.convert([BASE]);
    const { result, layersRead } = await place.convert([BASE, UPPER, BASE, OTHER]);
    expect(layersRead).toEqual([1, 3]);
    const store = await place.open();
    const file = path.join(place.path, "disk.ext4");
    writeFileSync(file, await readDisk(store, KEYRING, result));
    await store.close();
    await fsck(file);
  });

  testWith(["python3"], "a store has the chunks that the numbers say, each under its digest", async () => {
    const { result } = await place.convert([BASE, UPPER]);
    const { chunks, storedBytes } = result;
    const program = `
import hashlib, json, os, sys
found = {"chunks": 0, "bytes": 0, "wrong": 0, "segments": 0, "conversions": 0}
for folder, _, names in os.walk(sys.argv[1]):
    kind = os.path.relpath(folder, sys.argv[1]).split(os.sep)[2:3]
    for name in names:
        if kind == ["chunks"]:
            data = open(os.path.join(folder, name), "rb").read()
            found["chunks"] += 1
            found["bytes"] += len(data)
            found["wrong"] += hashlib.sha256(data).hexdigest() != name
        elif kind in (["segments"], ["conversions"]):
            found[kind[0]] += 1
print(json.dumps(found))
`;
    expect(JSON.parse(await run("python3", ["-c", program, place.storePath("store")]))).toEqual({
      ...{ chunks: chunks.unique + chunks.kept, bytes: storedBytes, wrong: 0 },
      ...{ segments: 2, conversions: 1 },
    });
    expect(chunks.kept).toBe(1);
  });
});
