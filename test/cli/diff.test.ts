import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, writeApp } from "./_images.ts";

/** What differs in two exported disks: chunks by their digests, anywhere and at equal places. */
const COMPARE = `
import hashlib, json, sys
SIZE = 512 * 1024
def chunks(name):
    with open(name, "rb") as disk:
        while piece := disk.read(SIZE):
            yield None if piece.count(0) == len(piece) else hashlib.sha256(piece).hexdigest()
a, b = [list(chunks(name)) for name in sys.argv[1:]]
first, second = [{chunk for chunk in one if chunk} for one in (a, b)]
pairs = [(a[i] if i < len(a) else None, b[i] if i < len(b) else None) for i in range(max(len(a), len(b)))]
print(json.dumps({
    "chunks": {"common": len(first & second), "onlyBefore": len(first - second), "onlyAfter": len(second - first)},
    "places": {"same": sum(x is not None and x == y for x, y in pairs),
        "changed": sum(x is not None and y is not None and x != y for x, y in pairs),
        "onlyBefore": sum(y is None and x is not None for x, y in pairs),
        "onlyAfter": sum(x is None and y is not None for x, y in pairs)}}))
`;

/** Small files' places come behind those of the others, so that the new file moves them. */
const BEFORE = tarBuilder()
  .file("kept", "k".repeat(5000), { mtime: 1 })
  .file("edited", "e".repeat(5000), { mtime: 1 })
  .file("touched", "t".repeat(5000), { mtime: 1 })
  .end();
const AFTER = tarBuilder()
  .file("kept", "k".repeat(5000), { mtime: 1 })
  .file("edited", "E".repeat(5000), { mtime: 1 })
  .file("touched", "t".repeat(5000), { mtime: 2 })
  .file("new-\xff", "n".repeat(700_000))
  .end();

interface DiffJson {
  readonly chunks: unknown;
  readonly places: unknown;
  readonly newBytes: number;
  readonly regions: readonly Readonly<Record<string, unknown>>[];
  readonly inodes: unknown;
  readonly paths: readonly Readonly<Record<string, unknown>>[];
}

describe.skipIf(!isBuilt)("lambda-img diff (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(async () => {
    home = new CliHome();
    for (const [name, tar] of [
      ["before", BEFORE],
      ["after", AFTER],
    ] as const) {
      writeApp(home.path, [LOWER, tar]);
      jsonOf(await home.run(["convert", "oci:app", "--name", name, "--json"]));
    }
  });
  afterAll(() => {
    home.remove();
  });

  const diff = async (...args: readonly string[]): Promise<DiffJson> =>
    jsonOf(await home.run(["diff", ...args, "--json"])) as unknown as DiffJson;

  testWith(["python3"], "counts what python counts in the exported disks", async () => {
    const disks = ["before", "after"].map((name) => path.join(home.path, `${name}.ext4`));
    for (const disk of disks) await home.run(["export", path.basename(disk, ".ext4"), "-o", disk]);
    const script = path.join(home.path, "compare.py");
    writeFileSync(script, COMPARE);
    const forth = await diff("before", "after");
    const { chunks, places } = JSON.parse(await run("python3", [script, ...disks])) as DiffJson;
    expect([forth.chunks, forth.places]).toEqual([chunks, places]);
    expect(forth.newBytes).toBe((chunks as { readonly onlyAfter: number }).onlyAfter * 524_288);
    const back = await diff("after", "before");
    const reversed = JSON.parse(await run("python3", [script, ...disks.reverse()])) as DiffJson;
    expect([back.chunks, back.places]).toEqual([reversed.chunks, reversed.places]);
  });

  test("says of each path why it is in new chunks", async () => {
    const { paths, regions, inodes } = await diff("before", "after");
    const files = paths.filter(({ type }) => type === "file");
    const oddName = Buffer.from("/new-\xff", "latin1").toString("base64");
    expect(files.map((file) => [file["path"] ?? file["pathBase64"], file["reason"]])).toEqual([
      [oddName, "new"],
      ["/edited", "changed"],
      ["/kept", "moved"],
      ["/touched", "moved"],
    ]);
    const layers = regions.filter(({ region }) => region === "segment");
    expect(layers.map(({ layer, layerInBefore }) => [layer, layerInBefore])).toEqual([
      [0, true],
      [1, false],
    ]);
    expect(layers[0]?.["chunks"]).toMatchObject({ new: 0 });
    expect(inodes).toMatchObject({ new: 1, renumbered: 0, removed: 0 });
    // Where the new file lies may move the others, too.
    const { changes } = inodes as { readonly changes: Readonly<Record<string, number>> };
    const touched = Object.entries(changes).filter(([aspects]) => aspects.split(",").includes("mtime"));
    expect(touched.map(([, count]) => count)).toEqual([1]);
  });

  test("ends with 0 whether images differ or not", async () => {
    expect((await home.run(["diff", "before", "after"])).status).toBe(0);
    const same = await home.run(["diff", "before", "before"]);
    expect([same.status, same.stderr]).toEqual([0, ""]);
    expect(same.stdout).toMatch(/^upload +0 B: 0 of \d+ distinct chunks new$/m);
    expect((await diff("before", "before")).paths).toEqual([]);
  });

  test("says it in words, in 100 columns, harmless to a terminal", async () => {
    const { stdout } = await home.run(["diff", "before", "after"]);
    expect(stdout).toMatch(/^layer 2 files \(new layer\) +2 +2 +1\.00 MiB +new .*, changed .*, same /m);
    expect(stdout).toMatch(/ changed +\/edited$/m);
    expect(stdout).toMatch(/ new +\/new-\\xff$/m);
    expect(stdout).toMatch(/ moved +\/kept$/m);
    expect(stdout).toMatch(/ neighbour +\/etc\/$/m);
    expect(stdout).toMatch(/^superblock .*  counts of what is free, bitmaps, directories$/m);
    expect(stdout).toMatch(/^ {2}1 changed only in mtime/m);
    for (const line of stdout.split("\n")) expect([line, line.length <= 100]).toEqual([line, true]);
  });

  test("takes manifest ids, and draws a page", async () => {
    const { before, after } = (await diff("before", "after")) as unknown as Record<
      string,
      { manifest: string }
    >;
    const byId = await diff(before?.manifest ?? "", after?.manifest ?? "", "--html", "map.html");
    expect(byId).toMatchObject({ html: "map.html", before: { image: before?.manifest } });
    const html = readFileSync(path.join(home.path, "map.html"), "utf8");
    expect(html).toContain("<td>/edited</td>");
    expect(html).toContain("<td>/new-\\xff</td>");
    const again = await home.run(["diff", "before", "after", "--html", "map.html", "--json"]);
    expect([again.status, errorOf(again)["code"]]).toEqual([8, "OUTPUT_EXISTS"]);
  });

  test.each<[number, string, readonly string[]]>([
    [4, "IMAGE_NOT_FOUND", ["before", "none"]],
    [4, "IMAGE_NOT_FOUND", ["none", "after"]],
    [2, "USAGE_INVALID", ["before"]],
    // Before the images are opened.
    [4, "PATH_NOT_FOUND", ["none", "after", "--html", "none/map.html"]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await home.run(["diff", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"], found.stdout]).toEqual([status, code, ""]);
  });
});
