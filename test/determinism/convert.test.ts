/** The same image gives the same bytes, whatever surrounds the conversion. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { diskDigestOf, buildDiskImage } from "../support/disk-image.ts";
import { testWith } from "../support/judge.ts";
import { CliHome, isBuilt, jsonOf, type CliOptions } from "../support/cli-run.ts";
import { digestOf, writeLayout, type LayoutLayer } from "../support/oci-layout.ts";
import { incompressibleTar, tarBuilder } from "../support/tar-builder.ts";

const noise = (sizeBytes: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: sizeBytes }, (_, at) => (at * seed + (at >> 7)) & 255);

const lower = tarBuilder().dir("d", { mtime: 9 }).file("d/a", noise(900_000, 31)).symlink("s", "d");
for (let i = 0; i < 300; i++) lower.file(`d/${i}`, noise(i * 11, i));
const LOWER = lower.end();
const UPPER = tarBuilder()
  .file("d/.wh.a")
  .file("s/b", noise(70_000, 3))
  .file("\xc4\xb1", "I")
  .file("\xff", "1")
  .end();
/** As stored large enough for threads of its own. */
const LARGE = incompressibleTar(9_000_001);
const KEY = Buffer.alloc(32, 1).toString("base64");

const tars = [LOWER, UPPER, LARGE];
const whole = tars.map((tar): LayoutLayer => ({ tar }));

test("how the layers' tars are sliced does not matter", () => {
  const slices = function* (tar: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
    for (let at = 0; at < tar.length; at += pieceBytes) yield tar.subarray(at, at + pieceBytes);
  };
  const expected = diskDigestOf(buildDiskImage([LOWER, UPPER]));
  for (const pieceBytes of [7, 512, 99_999]) {
    const disk = buildDiskImage([slices(LOWER, pieceBytes), slices(UPPER, pieceBytes)]);
    expect(diskDigestOf(disk)).toBe(expected);
  }
});

describe.skipIf(!isBuilt)("a conversion (needs npm run build)", () => {
  let home: CliHome;
  let expected: { manifest: unknown; disk: unknown };

  async function convert(
    args: readonly string[],
    options: CliOptions = {},
  ): Promise<Record<string, unknown>> {
    return jsonOf(
      await home.run(["convert", "--json", ...args], {
        ...options,
        env: { LAMBDA_IMG_KEY: KEY, ...options.env },
      }),
    );
  }

  const chunkNames = (store: string): string[] =>
    readdirSync(path.resolve(home.path, store), { recursive: true, encoding: "utf8" })
      .flatMap((name) => /chunks\/..\/(.+)$/.exec(name)?.[1] ?? [])
      .sort((left, right) => (left < right ? -1 : 1));

  beforeAll(async () => {
    home = new CliHome();
    writeLayout(path.join(home.path, "app"), [{ layers: whole }]);
    const { manifest, disk } = await convert(["oci:app"]);
    expected = { manifest, disk };
  });
  afterAll(() => {
    home.remove();
  });

  test.each<[string, readonly string[], CliOptions]>([
    ["another time zone", [], { env: { TZ: "Pacific/Kiritimati" } }],
    ["another locale", [], { env: { LANG: "tr_TR.UTF-8", LC_ALL: "tr_TR.UTF-8" } }],
    ["another name", ["--name", "other"], {}],
    ["one thread", ["--jobs", "1"], {}],
    ["two threads", ["--jobs", "2"], {}],
    ["four threads", ["--jobs", "4"], {}],
  ])("with %s gives the same manifest", async (name, args, options) => {
    const store = name.replaceAll(" ", "-"); // A new one: where the image is known, nothing is converted.
    const found = await convert(["oci:app", "--store", store, ...args], options);
    expect(found).toMatchObject({ ...expected, layers: { total: 3, reused: 0 }, chunks: { reused: 0 } });
    expect(chunkNames(store)).toEqual(chunkNames(home.storePath));
  });

  test("in another directory, under another umask, into a copy of the store elsewhere gives the same manifest", async () => {
    execFileSync("cp", ["-a", home.storePath, path.join(home.path, "copy")]);
    mkdirSync(path.join(home.path, "elsewhere"));
    const before = process.umask(0o077);
    try {
      const cwd = path.join(home.path, "elsewhere");
      expect(await convert(["oci:../app", "--store", "../copy"], { cwd })).toMatchObject(expected);
    } finally {
      process.umask(before);
    }
  });

  test("into a new store gives the same manifest; into a root with another salt the same disk and no chunk name of the other", async () => {
    expect(await convert(["oci:app", "--store", "second"])).toMatchObject(expected);
    const file = path.join(home.path, "salted", "roots", "r0", "root.json");
    await convert(["oci:app", "--store", "salted", "--name", "first"]);
    const first = new Set(chunkNames("salted"));
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace(/"epoch":\s*0/, '"epoch":1'));
    expect(readFileSync(file, "utf8")).not.toBe(text);
    const found = await convert(["oci:app", "--store", "salted"]);
    expect(found["disk"]).toEqual(expected.disk);
    expect(found["manifest"]).not.toBe(expected.manifest);
    expect(found["chunks"]).toMatchObject({ reused: 0 });
    expect(chunkNames("salted").filter((name) => !first.has(name))).toHaveLength(first.size);
  });

  test("under another key has the same disk and chunks, and another manifest", async () => {
    const found = await convert(["oci:app"], {
      env: { LAMBDA_IMG_KEY: Buffer.alloc(32, 2).toString("base64") },
    });
    expect(found).toMatchObject({ disk: expected.disk, bytes: { new: 0 } });
    expect(found["manifest"]).not.toBe(expected.manifest);
  });

  const halves = (tar: Uint8Array): Uint8Array =>
    Buffer.concat([gzipSync(tar.subarray(0, 1000)), gzipSync(tar.subarray(1000))]);
  test.each<[string, (tar: Uint8Array) => Uint8Array]>([
    ["gzip -1", (tar) => gzipSync(tar, { level: 1 })],
    ["gzip -9", (tar) => gzipSync(tar, { level: 9 })],
    ["gzip of two members", halves],
    ["nothing", (tar) => tar],
  ])("of layers compressed by %s has the same disk", async (name, compressLayer) => {
    const layers = tars.map((tar): LayoutLayer => {
      const stored = compressLayer(tar);
      return { tar, stored, digest: digestOf(stored), sizeBytes: stored.length };
    });
    const folder = `as-${name.replaceAll(" ", "-")}`;
    writeLayout(path.join(home.path, folder), [{ layers }]);
    expect(await convert([`oci:${folder}`])).toMatchObject({ disk: expected.disk, bytes: { new: 0 } });
  });

  testWith(["zstd"], "of layers compressed by zstd has the same disk", async () => {
    const layers = whole.map(({ tar }): LayoutLayer => ({ tar, compression: "zstd" }));
    writeLayout(path.join(home.path, "as-zstd"), [{ layers }]);
    expect((await convert(["oci:as-zstd"]))["disk"]).toEqual(expected.disk);
  });

  testWith(["tar"], "from an archive, plain or compressed, gives the same manifest", async () => {
    const archive = path.join(home.path, "app.tar");
    execFileSync("tar", ["-C", path.join(home.path, "app"), "-cf", archive, "."]);
    expect(await convert(["oci-archive:app.tar"])).toMatchObject(expected);
    execFileSync("gzip", [archive]);
    expect(await convert(["oci-archive:app.tar.gz"])).toMatchObject(expected);
  });
});
