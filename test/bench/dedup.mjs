// `npm run bench:dedup`: what the next builds of an image add to a store, ours and others'.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { isInstalled, layersOf, nameOf, run, tagOf } from "./_layout.mjs";
import { readOptions } from "./_options.mjs";
import { CHUNK_BYTES, openOurs, TREE_PEERS, unpack } from "./_peers.mjs";

const RECIPES = path.join(import.meta.dirname, "families.mjs");
const BLOCK_BYTES = 4096;
const OURS = "lambda-img";

const USAGE = `usage: npm run bench:dedup -- [--family NAME]... [--from DIRECTORY] [--images LAYOUT,LAYOUT,...] [--json FILE]

Puts the images of a family into empty stores one after another and says what each adds, ours and others'. Counts do not
vary from run to run, so each image is taken once. Peers that are not installed are left out by name.

  --family NAME     a family of families.mjs; all, if none is named
  --from DIRECTORY  where families lie; what is not there is made there (default: a temporary directory)
  --images LIST     a family of its own: OCI layouts, oldest first
  --json FILE       write the counts there, too
`;

const values = readOptions(USAGE, {
  family: { type: "string", multiple: true },
  from: { type: "string" },
  images: { type: "string" },
  json: { type: "string" },
});
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-dedup-"));

try {
  const isUmoci = process.getuid?.() === 0 && isInstalled("umoci");
  const peers = TREE_PEERS.filter(isPossible);
  console.log(`trees unpacked by ${isUmoci ? "umoci" : "lambda-img export --format tar, and tar"}\n`);
  const results = [];
  for (const family of listFamilies()) {
    const result = await measure(family, peers, isUmoci);
    results.push(result);
    print(result);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function isPossible(peer) {
  const missing = peer.needs.filter((need) => !isInstalled(need));
  if (missing.length > 0) console.log(`left out: ${peer.name} (needs ${missing.join(", ")})`);
  return missing.length === 0;
}

/** Families with their layouts, oldest first. */
function* listFamilies() {
  if (values.images !== undefined) {
    const layouts = values.images.split(",").map((layout) => path.resolve(layout));
    yield { name: "images", images: layouts.map((layout) => ({ name: nameOf(layout), layout })) };
  }
  const isAll = values.family === undefined && values.images === undefined;
  const all = run(process.execPath, [RECIPES, "--list"]).trim().split("\n");
  for (const name of isAll ? all : (values.family ?? [])) {
    const directory = path.resolve(values.from ?? path.join(work, "families"));
    const list = path.join(directory, name, "images.json");
    if (!existsSync(list)) run(process.execPath, [RECIPES, "--out", directory, name]);
    if (!existsSync(list)) {
      console.log(`left out: family ${name} (what it needs is not installed)`);
      continue;
    }
    const images = JSON.parse(readFileSync(list, "utf8"));
    yield {
      name,
      images: images.map((image) => ({ name: image, layout: path.join(directory, name, image, "oci") })),
    };
    if (values.from === undefined) rmSync(path.join(directory, name), { recursive: true });
  }
}

/** Gives the images of one family to everybody, in order. */
async function measure(family, peers, isUmoci) {
  if (new Set(family.images.map(({ name }) => name)).size < family.images.length)
    throw new Error(`${family.name}: two images have one name`);
  const stock = family.images.map(({ layout }) => takeStock(layout));
  const blocks = Math.max(...stock.map((image) => image.bodyBlocks.reduce((sum, count) => sum + count, 0)));
  const entries = Math.max(...stock.map((image) => image.entryCount));
  // Room for all of it: bodies, a directory block and an inode for each entry at most, and a journal.
  const shape = {
    sizeBytes: Math.ceil((blocks * BLOCK_BYTES * 1.1 + entries * 4500) / (1 << 27) + 2) * (1 << 27),
    inodeCount: entries + 1000,
  };
  const home = path.join(work, family.name);
  mkdirSync(home);
  const ours = openOurs(home);
  const opened = peers.map((peer) => ({ name: peer.name, ...peer.open(home, shape) }));
  const rows = [];
  for (const [index, { name, layout }] of family.images.entries()) {
    const row = { image: name, sequentialCount: stock[index].sequentialCount, by: {} };
    row.by[OURS] = await ours.add(layout, name);
    const tree = path.join(home, "tree");
    const exportTar = (file) => ours.exportTar(name, file);
    if (peers.length > 0) unpack({ layout, tag: tagOf(layout), tree, isUmoci, exportTar });
    for (const peer of opened) row.by[peer.name] = peer.add(tree, name);
    rmSync(tree, { recursive: true, force: true });
    rows.push(row);
  }
  rmSync(home, { recursive: true });
  return { family: family.name, names: [OURS, ...peers.map((peer) => peer.name)], rows };
}

/**
 * What tar says of an image's layers: blocks that the bodies of each take, and the chunks that they would take if they
 * were placed one after another, in the order of the archive, each layer from a chunk's start. Hidden files keep their
 * place.
 */
function takeStock(layout) {
  let entryCount = 0;
  const bodyBlocks = layersOf(layout).map((layer) => {
    const lines = run("tar", [
      "--list",
      "--verbose",
      "--numeric-owner",
      "--quoting-style=escape",
      "--file",
      layer.path,
    ])
      .split("\n")
      .filter((line) => line !== "");
    entryCount += lines.length;
    return lines
      .filter((line) => line.startsWith("-"))
      .map((line) => Math.ceil(Number(/^\S+\s+\S+\s+(\d+)/.exec(line)[1]) / BLOCK_BYTES))
      .reduce((sum, count) => sum + count, 0);
  });
  const perChunk = CHUNK_BYTES / BLOCK_BYTES;
  return {
    entryCount,
    bodyBlocks,
    sequentialCount: bodyBlocks.reduce((sum, count) => sum + Math.ceil(count / perChunk), 0),
  };
}

/** One table a family: chunks of ours, then the new bytes of everybody. */
function print({ family, names, rows }) {
  console.log(`## ${family}\n`);
  console.log(`| image | chunks | new | of | ${names.map((name) => `${name}: new MB`).join(" | ")} |`);
  console.log(`|---|---|---|---|${names.map(() => "---|").join("")}`);
  for (const { image, by } of rows) {
    const { totalCount, newCount } = by[OURS];
    const cells = names.map(
      (name) => `${inMegabytes(by[name].newBytes)} (${showShare(by[name].newBytes, by[name].totalBytes)})`,
    );
    console.log(
      `| ${image} | ${totalCount} | ${newCount} | ${showShare(newCount, totalCount)} | ${cells.join(" | ")} |`,
    );
  }
  const sums = names.map((name) => rows.reduce((sum, row) => sum + row.by[name].newBytes, 0));
  const alone = names.map((name) => rows.reduce((sum, row) => sum + row.by[name].totalBytes, 0));
  const cells = names.map(
    (_, index) => `${inMegabytes(sums[index])} (${showShare(sums[index], alone[index])})`,
  );
  const [counted, added] = ["totalCount", "newCount"].map((key) =>
    rows.reduce((sum, row) => sum + row.by[OURS][key], 0),
  );
  console.log(`| all | ${counted} | ${added} | ${showShare(added, counted)} | ${cells.join(" | ")} |\n`);
  for (const { image, by, sequentialCount } of rows.slice(0, 1)) {
    const { totalCount, metadataCount } = by[OURS];
    const plain = sequentialCount + metadataCount;
    console.log(
      `sequential placement of ${image}: ${sequentialCount} chunks of bodies and ${metadataCount} of metadata, ${plain}; ` +
        `ours ${totalCount}, ${showSigned((100 * (totalCount - plain)) / plain)} %\n`,
    );
  }
}

function inMegabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

function showShare(part, whole) {
  return `${((100 * part) / whole).toFixed(1)} %`;
}

function showSigned(number) {
  return `${number < 0 ? "" : "+"}${number.toFixed(1)}`;
}
