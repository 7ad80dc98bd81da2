// What `npm run bench` runs beside convert: each does a part of the same work on the same image.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { isInstalled, layersOf, storeOtherwise, tagOf } from "./_layout.mjs";
import { convertCommand } from "./_ours.mjs";

/** The row that all ratios are to. */
export const OURS = "lambda-img convert";

/** The rows that pull the image from a registry. */
export const REGISTRY_ROWS = [`${OURS} (registry)`, "skopeo copy, umoci unpack (registry)"];

/** The rows for the same layers, stored in other ways. */
const OTHERWISE = {
  zstd: { row: `${OURS} (zstd layers)`, peer: "zstd -dc | openssl dgst -sha256", reader: ["zstd", "-dc"] },
  plain: { row: `${OURS} (plain layers)`, peer: "cat | openssl dgst -sha256", reader: ["cat"] },
};

const REGISTRY_TRIES = 50;

/** Rows for an image in a layout that read its layers themselves; ours writes below `work/out`. */
export function listReaders(layout, work) {
  const out = path.join(work, "out");
  return [
    { name: OURS, needs: [], command: convertCommand(`oci:${layout}`, out) },
    ...listPipes(layersOf(layout)),
  ];
}

/**
 * All rows for an image in a layout; they write below `work/out` alone. `umoci unpack` is part of each row that needs files,
 * and has a row of its own.
 */
export function listPeers(layout, work) {
  const out = path.join(work, "out");
  const image = `${layout}:${tagOf(layout)}`;
  const afterUnpack = (script) => ["sh", "-c", `umoci unpack --image "$0" "$1/b" && ${script}`, image, out];
  return [
    ...listReaders(layout, work),
    ...listErofsTar(layersOf(layout), out),
    {
      name: "skopeo copy to dir:",
      needs: ["skopeo"],
      command: ["skopeo", "copy", "--quiet", `oci:${image}`, `dir:${out}/dir`],
    },
    { name: "umoci unpack", needs: ["umoci", "root"], command: afterUnpack("true") },
    {
      name: "umoci unpack, mke2fs -d",
      needs: ["umoci", "root", "mke2fs", "du"],
      command: afterUnpack(
        'mke2fs -q -t ext4 -d "$1/b/rootfs" "$1/e.img" $(( $(du -sm "$1/b/rootfs" | cut -f1) * 3 / 2 + 64 ))M',
      ),
    },
    {
      name: "umoci unpack, mkfs.erofs",
      needs: ["umoci", "root", "mkfs.erofs"],
      command: afterUnpack('mkfs.erofs --quiet "$1/e.img" "$1/b/rootfs"'),
    },
    {
      name: "umoci unpack, casync make",
      needs: ["umoci", "root", "casync"],
      command: afterUnpack('casync make --store="$1/castr" --with=unix "$1/i.caidx" "$1/b/rootfs"'),
    },
    {
      name: "umoci unpack, borg create",
      needs: ["umoci", "root", "borg"],
      command: afterUnpack(
        'borg init --encryption repokey "$1/r" && cd "$1/b/rootfs" && borg create --compression none "$1/r::x" .',
      ),
      env: { BORG_BASE_DIR: path.join(out, "borg"), BORG_PASSPHRASE: "bench" },
    },
  ];
}

/** Of gzip layers only. */
function listPipes(layers) {
  if (!layers.every((layer) => layer.isGzip)) return [];
  const files = layers.map((layer) => layer.path);
  return [
    {
      name: "gzip -dc | sha256sum",
      needs: ["gzip", "sha256sum"],
      command: ["sh", "-c", 'gzip -dc "$@" | sha256sum', "sh", ...files],
    },
    {
      name: "igzip -dc | openssl dgst -sha256",
      needs: ["igzip", "openssl"],
      command: ["sh", "-c", 'igzip -dc "$@" | openssl dgst -sha256', "sh", ...files],
    },
  ];
}

/** mkfs.erofs reads a tar itself from 1.7 on: one tar, so an image of one layer. */
function listErofsTar(layers, out) {
  const [layer] = layers;
  if (layers.length > 1 || !layer?.isGzip || !hasErofsTar()) return [];
  return [
    {
      name: "gzip -dc | mkfs.erofs --tar=f",
      needs: ["gzip", "mkfs.erofs"],
      command: ["sh", "-c", 'gzip -dc "$1" | mkfs.erofs --quiet --tar=f "$0/e.img"', out, layer.path],
    },
  ];
}

function hasErofsTar() {
  const { stdout, stderr } = spawnSync("mkfs.erofs", ["--help"], { encoding: "utf8" });
  return `${stdout}${stderr}`.includes("--tar=");
}

/** Rows for the image with its layers stored as zstd and plain, which it makes below `work`. */
export async function listOtherwisePeers(layout, work, isWanted) {
  if (!layersOf(layout).every((layer) => layer.isGzip)) return [];
  const peers = [];
  for (const [storedAs, { row, peer, reader }] of Object.entries(OTHERWISE)) {
    const [program] = reader;
    if (!isInstalled(program) || ![row, peer].some(isWanted)) continue;
    const other = path.join(work, storedAs);
    await storeOtherwise(layout, storedAs, other);
    const files = layersOf(other).map((layer) => layer.path);
    const script = `${reader.join(" ")} "$@" | openssl dgst -sha256`;
    peers.push(
      { name: row, needs: [], command: convertCommand(`oci:${other}`, path.join(work, "out")) },
      { name: peer, needs: ["openssl"], command: ["sh", "-c", script, "sh", ...files] },
    );
  }
  return peers;
}

/** REGISTRY_ROWS, for a registry of startRegistry. */
export function listRegistryPeers(registry, work) {
  const [ours, theirs] = REGISTRY_ROWS;
  const out = path.join(work, "out");
  const source = `docker://${registry.name}`;
  const copy = 'skopeo copy --quiet --src-tls-verify=false "$0" "oci:$1/l:x"';
  return [
    { name: ours, needs: [], command: convertCommand(registry.name, out) },
    {
      name: theirs,
      needs: ["umoci", "root"],
      command: ["sh", "-c", `${copy} && umoci unpack --image "$1/l:x" "$1/b"`, source, out],
    },
  ];
}

/** What a row lacks here: programs, or to be root. */
export function missingOf(peer) {
  return peer.needs.filter((need) => (need === "root" ? process.getuid?.() !== 0 : !isInstalled(need)));
}

/**
 * docker-registry on loopback with the image in it, pushed by skopeo; `undefined` without the two. The caller calls `stop`.
 */
export async function startRegistry(layout, work) {
  if (!isInstalled("docker-registry") || !isInstalled("skopeo")) return undefined;
  const port = 20_000 + (process.pid % 20_000);
  const config = path.join(work, "registry.yml");
  const storage = path.join(work, "registry");
  mkdirSync(storage);
  writeFileSync(
    config,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${storage}}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const name = `127.0.0.1:${port}/bench`;
  const push = ["copy", "--quiet", "--dest-tls-verify=false"];
  for (let tries = 0; tries < REGISTRY_TRIES; tries++) {
    const { status } = spawnSync("skopeo", [...push, `oci:${layout}:${tagOf(layout)}`, `docker://${name}`]);
    if (status === 0) return { name, stop: () => child.kill() };
    await new Promise((done) => setTimeout(done, 100));
  }
  child.kill();
  throw new Error("docker-registry did not take the image");
}
