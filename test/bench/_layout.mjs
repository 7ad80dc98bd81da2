// OCI layouts for the benchmarks: directories become gzip layers, layers become images; and what a layout says of itself.
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import {
  createWriteStream,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
/** How layers can be stored: what their media types end in, and what makes them of a tar. */
const STORED_AS = {
  gzip: { suffix: "+gzip", filter: ["gzip", "-6", "-n"] },
  zstd: { suffix: "+zstd", filter: ["zstd", "--quiet", "-3", "--single-thread", "-"] },
  plain: { suffix: "", filter: ["cat"] },
};

/** Runs a program to its end and gives its stdout; what it says on stderr goes to the error if it fails. */
export function run(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...options,
  });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr.slice(-2000)}`);
  return stdout;
}

/** Whether the shell finds a program of this name. */
export function isInstalled(program) {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

/**
 * A directory as a gzip layer in `pool`: entries in byte order of their names, owned by 0:0, times in whole seconds, as
 * image builders write them. Equal directories give equal layers, where gzip is the same. `paths` below it, if not all.
 */
export async function makeLayer(directory, pool, paths = ["."]) {
  const options = ["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"];
  const tar = spawn("tar", ["-c", ...options, "--one-file-system", "-C", directory, ...paths], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [layer] = await Promise.all([storeLayer(tar.stdout, pool), ended(tar)]);
  return layer;
}

/** A tar that streams in as a layer in `pool`, gzip if nothing else is said; nothing but the layer as stored is written. */
export async function storeLayer(tar, pool, storedAs = "gzip") {
  mkdirSync(pool, { recursive: true });
  const { suffix, filter } = STORED_AS[storedAs];
  const [program, ...args] = filter;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const file = path.join(pool, `layer-${process.pid}-${randomUUID()}.tmp`);
  const plain = createHash("sha256");
  const stored = createHash("sha256");
  await Promise.all([
    ended(child),
    pipeline(tar, tap(plain), child.stdin),
    pipeline(child.stdout, tap(stored), createWriteStream(file)),
  ]);
  const digest = `sha256:${stored.digest("hex")}`;
  const final = path.join(pool, digest.slice("sha256:".length));
  renameSync(file, final);
  const size = statSync(final).size;
  return {
    file: final,
    diffId: `sha256:${plain.digest("hex")}`,
    digest,
    size,
    mediaType: LAYER_TYPE + suffix,
  };
}

/** Writes a layout with the image of another, whose layers are gzip, stored in another way. */
export async function storeOtherwise(layout, storedAs, to) {
  const layers = [];
  for (const layer of layersOf(layout)) {
    const gunzip = spawn("gzip", ["-dc", layer.path], { stdio: ["ignore", "pipe", "inherit"] });
    const [stored] = await Promise.all([storeLayer(gunzip.stdout, `${to}-layers`, storedAs), ended(gunzip)]);
    layers.push(stored);
  }
  writeLayout(to, layers);
}

/** Writes the image of these layers, base first, with the tag `latest`; layers are hard-linked from their pool. */
export function writeLayout(layout, layers) {
  rmSync(layout, { recursive: true, force: true });
  mkdirSync(path.join(layout, "blobs/sha256"), { recursive: true });
  for (const digest of new Set(layers.map((layer) => layer.digest)))
    linkSync(layers.find((layer) => layer.digest === digest).file, blobPath(layout, digest));
  const config = putDocument(layout, "application/vnd.oci.image.config.v1+json", {
    created: "2025-01-01T00:00:00Z",
    architecture: { x64: "amd64", arm64: "arm64" }[process.arch] ?? process.arch,
    os: "linux",
    config: { Cmd: ["sh"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
  });
  const descriptors = layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = putDocument(layout, mediaType, {
    schemaVersion: 2,
    mediaType,
    config,
    layers: descriptors,
  });
  const entry = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "latest" } };
  writeFileSync(path.join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(path.join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** The layers of a layout's first image, base first. */
export function layersOf(layout) {
  let document = readJson(path.join(layout, "index.json"));
  while (document.manifests !== undefined)
    document = readJson(blobPath(layout, document.manifests[0].digest));
  return document.layers.map(({ digest, mediaType, size }) => ({
    path: blobPath(layout, digest),
    digest,
    isGzip: mediaType.endsWith("gzip"),
    sizeBytes: size,
  }));
}

/** The tag of a layout's first image. */
export function tagOf(layout) {
  const [entry] = readJson(path.join(layout, "index.json")).manifests;
  return entry.annotations?.["org.opencontainers.image.ref.name"] ?? "latest";
}

/** A layout's name for people: its directory's, or the one above where that is just "oci". */
export function nameOf(layout) {
  return path.basename(layout) === "oci" ? path.basename(path.dirname(layout)) : path.basename(layout);
}

function putDocument(layout, mediaType, value) {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  writeFileSync(blobPath(layout, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

function blobPath(layout, digest) {
  return path.join(layout, "blobs", ...digest.split(":"));
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

function tap(hasher) {
  return async function* (chunks) {
    for await (const chunk of chunks) {
      hasher.update(chunk);
      yield chunk;
    }
  };
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) =>
      status === 0 ? resolve() : reject(new Error(`${child.spawnfile} ended with ${status}`)),
    );
  });
}
