import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, UPPER, writeApp } from "./_images.ts";

/** Another layer on the same base: two images that share the base's chunks. */
const OTHER: Uint8Array = tarBuilder().file("other", "o".repeat(600_000)).end();

/** Counts by sets of digests of the chunks of exported disks, with code that shares nothing with ours. */
const COUNT = `
import hashlib, json, sys
SIZE = 512 * 1024
disks = []
for name in sys.argv[1:]:
    chunks = []
    with open(name, "rb") as disk:
        while piece := disk.read(SIZE):
            chunks.append(None if piece.count(0) == len(piece) else hashlib.sha256(piece).hexdigest())
    disks.append(chunks)
sets = [{chunk for chunk in chunks if chunk} for chunks in disks]
result = []
for number, chunks in enumerate(disks):
    others = set().union(*(one for at, one in enumerate(sets) if at != number))
    result.append({"total": len(chunks), "zero": chunks.count(None), "filled": len(chunks) - chunks.count(None),
        "distinct": len(sets[number]), "unique": len(sets[number] - others), "shared": len(sets[number] & others)})
everything = [chunk for one in sets for chunk in one]
sharers = {}
for chunk in set(everything):
    sharers[everything.count(chunk)] = sharers.get(everything.count(chunk), 0) + 1
print(json.dumps({"images": result, "stored": len(set(everything)), "sharing": [[len(a & b) for b in sets] for a in sets],
    "sharers": sorted(([k, v] for k, v in sharers.items()), reverse=True)}))
`;

interface Counts {
  readonly images: readonly Readonly<Record<string, number>>[];
  readonly stored: number;
  readonly sharing: readonly (readonly number[])[];
  readonly sharers: readonly (readonly [number, number])[];
}

interface StatsJson {
  readonly images: readonly {
    readonly manifest: string;
    readonly names: readonly string[];
    readonly chunks: unknown;
  }[];
  readonly bytes: Readonly<Record<string, number | null>>;
  readonly sharing: unknown;
  readonly sharers: readonly { readonly images: number; readonly chunks: number }[];
  readonly mostShared: readonly Readonly<Record<string, unknown>>[];
}

describe.skipIf(!isBuilt)("lambda-img stats (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    jsonOf(await home.run(["convert", "oci:app", "--name", "one", "--json"]));
    jsonOf(await home.run(["convert", "oci:app", "--name", "one-again", "--json"]));
    writeApp(home.path, [LOWER, UPPER, OTHER]);
    jsonOf(await home.run(["convert", "oci:app", "--name", "two", "--json"]));
    writeApp(home.path, [OTHER, LOWER]);
    jsonOf(await home.run(["convert", "oci:app", "--name", "three", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });

  const stats = async (...args: readonly string[]): Promise<StatsJson> =>
    jsonOf(await home.run(["stats", "--json", ...args])) as unknown as StatsJson;

  testWith(["python3"], "counts what python counts in the exported disks and in the store", async () => {
    const json = await stats();
    expect(json.images.map(({ names }) => names)).toEqual([["one", "one-again"], ["three"], ["two"]]);
    const disks: string[] = [];
    for (const { manifest } of json.images) {
      disks.push(path.join(home.path, `${disks.length}.ext4`));
      jsonOf(await home.run(["export", manifest, "-o", disks.at(-1) ?? "", "--json"]));
    }
    const script = path.join(home.path, "count.py");
    writeFileSync(script, COUNT);
    const counts = JSON.parse(await run("python3", [script, ...disks])) as Counts;
    expect(json.images.map(({ chunks }) => chunks)).toEqual(counts.images);
    expect(json.sharing).toEqual(counts.sharing);
    expect(json.sharers.map(({ images, chunks }) => [images, chunks])).toEqual(counts.sharers);
    const filled = counts.images.reduce((sum, image) => sum + (image["filled"] ?? 0), 0);
    expect(json.bytes).toEqual({
      disks: disks.reduce((sum, disk) => sum + statSync(disk).size, 0),
      filled: filled * 524_288,
      stored: counts.stored * 524_288,
      dedupRatio: filled / counts.stored,
    });
    // The base's chunk is in two images, and that of OTHER in two.
    expect(counts.sharers.length).toBeGreaterThan(1);
    const files = readdirSync(home.storePath, { recursive: true, encoding: "utf8" });
    const chunkFiles = files.filter((file) => /(^|\/)[0-9a-f]{64}$/.test(file) && file.includes("chunks"));
    expect(chunkFiles.length).toBe(counts.stored);
    for (const { name } of json.mostShared) {
      expect(chunkFiles.some((file) => file.endsWith(`/${String(name)}`))).toBe(true);
    }
  });

  test("names paths that are no UTF-8 in base64", async () => {
    const paths = (await stats()).mostShared.flatMap((chunk) => chunk["paths"] as Record<string, unknown>[]);
    const odd = Buffer.from("/name-\xff", "latin1").toString("base64");
    expect(paths.filter(({ pathBase64 }) => pathBase64 === odd).length).toBeGreaterThan(0);
  });

  test("says it in words, in 100 columns", async () => {
    const { status, stdout, stderr } = await home.run(["stats"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^images +4 names for 3 manifests$/m);
    expect(stdout).toMatch(/^1 +one \+1 +128 MiB /m);
    expect(stdout).toMatch(/^COMMON CHUNKS +1 +2 +3$/m);
    expect(stdout).toMatch(/^IN IMAGES +CHUNK +REGION +HOLDS$/m);
    for (const line of stdout.split("\n")) {
      if (!line.startsWith("store ")) expect(line.length).toBeLessThanOrEqual(100);
    }
  });

  test("draws a page, and replaces one only with --force", async () => {
    const page = path.join(home.path, "map.html");
    expect((await home.run(["stats", "--html", "map.html", "-q"])).stdout).toContain("map in map.html");
    const html = readFileSync(page, "utf8");
    expect(html.startsWith("<!doctype html>")).toBe(true);
    expect(html.match(/<h2 /g)?.length).toBe(3);
    const again = await home.run(["stats", "--html", "map.html", "--json"]);
    expect([again.status, errorOf(again)["code"], again.stdout]).toEqual([8, "OUTPUT_EXISTS", ""]);
    writeFileSync(page, "old");
    expect(await stats("--html", "map.html", "--force")).toMatchObject({ html: "map.html" });
    expect(readFileSync(page, "utf8")).toBe(html);
    expect(readdirSync(home.path).filter((name) => name.includes("map.html."))).toEqual([]);
  });

  test.each<[number, string, readonly string[]]>([
    [2, "USAGE_INVALID", ["--html", "-"]],
    [4, "PATH_NOT_FOUND", ["--html", "none/map.html"]],
    // Before anything is opened.
    [4, "PATH_NOT_FOUND", ["--html", "none/map.html", "--store", "none"]],
    [4, "PATH_NOT_FOUND", ["--html", "config/lambda-img/key.json/map.html", "--store", "none"]],
    [4, "PATH_NOT_FOUND", ["--html", "none/map.html", "--store", "none", "--force"]],
    [4, "STORE_NOT_FOUND", ["--store", "none"]],
    [2, "USAGE_INVALID", ["--html", ""]],
    [2, "USAGE_INVALID", ["--html", "config", "--force"]],
    [2, "USAGE_INVALID", ["--html", "/dev/null", "--force"]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await home.run(["stats", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"], found.stdout]).toEqual([status, code, ""]);
    expect(existsSync(path.join(home.path, "-"))).toBe(false);
  });
});
