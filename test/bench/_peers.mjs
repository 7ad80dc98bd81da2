// What stores an image and its next builds, for `npm run bench:dedup`: each peer takes images one after another and says
// how many bytes each added. All sizes are of plain bytes: nothing that compression saves is counted for anybody.
// Indexes and manifests, ours included, are not counted.
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import path from "node:path";

import { DirectoryStore, openKeyringFile, openManifest } from "../../dist/index.js";
import { run } from "./_layout.mjs";

export const CHUNK_BYTES = 512 << 10;
const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES);
const FIXED_UUID = "6b8b4567-327b-43c6-a3e7-11a2b3c4d5e6";

const top = path.resolve(import.meta.dirname, "../..");

/**
 * `lambda-img` with a store of its own in `directory`. `add` also counts metadata: chunks that no layer's segment has.
 */
export function openOurs(directory) {
  const options = ["--store", path.join(directory, "store"), "--key", path.join(directory, "key.json")];
  const command = (...args) =>
    run(process.execPath, [path.join(top, "bin/lambda-img"), ...args, ...options, "--quiet"]);
  return {
    add: async (layout, name) => {
      const result = JSON.parse(command("convert", `oci:${layout}`, "--name", name, "--json"));
      const { unique, new: added } = result.chunks;
      const metadataCount = await countMetadata(directory, result.manifest);
      return { ...sizesOf(unique, added), metadataCount };
    },
    exportTar: (name, file) => command("export", name, "--format", "tar", "-o", file, "--force"),
  };
}

async function countMetadata(directory, manifest) {
  const keyring = await openKeyringFile(path.join(directory, "key.json"), { create: false });
  const store = await DirectoryStore.open(path.join(directory, "store"), { create: false });
  try {
    const { indexes, image } = openManifest(
      await store.getManifest(keyring.customerId, manifest),
      keyring.customerKey(),
    );
    const isBody = (index) =>
      image.segments.some(
        ({ firstChunk, chunkCount }) => index >= firstChunk && index < firstChunk + chunkCount,
      );
    return [...indexes].filter((index) => !isBody(index)).length;
  } finally {
    await store.close();
  }
}

/**
 * The peers that take an unpacked tree. `open` gets a directory of the peer's family and the family's `shape`: a disk
 * size and an inode count that are enough for each of its images.
 */
export const TREE_PEERS = [
  { name: "casync", needs: ["casync"], open: (directory) => openCasync(directory, 64 << 10) },
  { name: "casync 512K", needs: ["casync"], open: (directory) => openCasync(directory, CHUNK_BYTES) },
  { name: "borg", needs: ["borg"], open: openBorg },
  { name: "mke2fs -d", needs: ["mke2fs", "debugfs", "dumpe2fs"], open: openMke2fs },
];

/** casync; sizes are those of the distinct chunks in its index, so its compression, which cannot be off, does not show. */
function openCasync(directory, chunkBytes) {
  const known = new Set();
  return {
    add: (tree, name) => {
      const index = path.join(directory, `${name}-${chunkBytes}.caidx`);
      const store = path.join(directory, `${chunkBytes}.castr`);
      // Owners, permissions, seconds of mtimes, links, devices: what a tar of an image has, too.
      const what = ["--with=unix", "--with=xattrs", "--with=fcaps"];
      run("casync", [
        "make",
        `--store=${store}`,
        ...what,
        `--chunk-size=${chunkBytes}`,
        "--compression=zstd",
        index,
        tree,
      ]);
      return countNew(readCasyncIndex(readFileSync(index)), known);
    },
  };
}

/** Chunks of a `.caidx`: 48 bytes of header, 16 of the table's, items of end offset and digest, 40 bytes of tail. */
function* readCasyncIndex(bytes) {
  let start = 0n;
  for (let offset = 64; offset + 80 <= bytes.length; offset += 40) {
    const end = bytes.readBigUInt64LE(offset);
    yield { digest: bytes.toString("hex", offset + 8, offset + 40), size: Number(end - start) };
    start = end;
  }
}

/** borg without encryption and compression. What is new: growth of the repository's distinct bytes, its metadata included. */
function openBorg(directory) {
  const repository = path.join(directory, "borg");
  const env = {
    ...process.env,
    BORG_BASE_DIR: path.join(directory, "borg-home"),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  };
  run("borg", ["init", "--encryption", "none", repository], { env });
  let before = 0;
  return {
    add: (tree, name) => {
      // A ctime is that of unpacking, not the image's.
      const options = [
        "--compression",
        "none",
        "--noctime",
        "--numeric-ids",
        "--files-cache",
        "disabled",
        "--json",
      ];
      const result = JSON.parse(
        run("borg", ["create", ...options, `${repository}::${name}`, "."], { env, cwd: tree }),
      );
      const added = result.cache.stats.unique_size - before;
      before = result.cache.stats.unique_size;
      return { totalBytes: result.archive.stats.original_size, newBytes: added };
    },
  };
}

/** `mke2fs -d`, one size for the family, cut into chunks as ours are; zero chunks are free for it, too. */
function openMke2fs(directory, { sizeBytes, inodeCount }) {
  const known = new Set();
  const file = path.join(directory, "disk.img");
  return {
    add: (tree) => {
      rmSync(file, { force: true });
      const env = { ...process.env, E2FSPROGS_FAKE_TIME: "1735689600" };
      const extended = `hash_seed=${FIXED_UUID},root_owner=0:0`;
      const options = [
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-U",
        FIXED_UUID,
        "-E",
        extended,
        "-N",
        String(inodeCount),
      ];
      run("mke2fs", [...options, "-d", tree, file, `${Math.ceil(sizeBytes / 1024)}k`], { env });
      settleTimes(file, env);
      const result = countNew(readChunks(file), known);
      rmSync(file);
      return result;
    },
  };
}

/** Sets ctime and atime, which mke2fs takes from the unpacked files, to one moment: else all inode tables would differ. */
function settleTimes(file, env) {
  const header = run("dumpe2fs", ["-h", file]);
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(header)?.[1]);
  const used = field("Inode count") - field("Free inodes");
  const commands = Array.from({ length: used }, (_, index) => index + 1)
    .filter((inode) => inode === 2 || inode > 10)
    .flatMap((inode) => [`sif <${inode}> ctime 20250101000000`, `sif <${inode}> atime 20250101000000`]);
  run("debugfs", ["-w", "-f", "-", file], { env, input: `${commands.join("\n")}\n` });
}

function* readChunks(file) {
  const descriptor = openSync(file, "r");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  try {
    for (let size = readSync(descriptor, chunk); size > 0; size = readSync(descriptor, chunk)) {
      const bytes = chunk.subarray(0, size);
      if (bytes.equals(ZERO_CHUNK.subarray(0, size))) continue;
      yield { digest: createHash("sha256").update(bytes).digest("hex"), size };
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Distinct chunks of one image, and which of them are not among `known`, to which they are added. */
function countNew(chunks, known) {
  const own = new Set();
  const sums = { totalCount: 0, newCount: 0, totalBytes: 0, newBytes: 0 };
  for (const { digest, size } of chunks) {
    if (own.has(digest)) continue;
    own.add(digest);
    sums.totalCount += 1;
    sums.totalBytes += size;
    if (known.has(digest)) continue;
    known.add(digest);
    sums.newCount += 1;
    sums.newBytes += size;
  }
  return sums;
}

function sizesOf(totalCount, newCount) {
  return { totalCount, newCount, totalBytes: totalCount * CHUNK_BYTES, newBytes: newCount * CHUNK_BYTES };
}

/** Unpacks an image to `tree`: with umoci where it can, so that the peers do not depend on us, else from our export. */
export function unpack({ layout, tag, tree, isUmoci, exportTar }) {
  mkdirSync(path.dirname(tree), { recursive: true });
  if (isUmoci) {
    const bundle = `${tree}.bundle`;
    run("umoci", ["unpack", "--image", `${layout}:${tag}`, bundle]);
    run("mv", [path.join(bundle, "rootfs"), tree]);
    rmSync(bundle, { recursive: true });
    return;
  }
  mkdirSync(tree);
  exportTar(`${tree}.tar`);
  run("tar", ["-xf", `${tree}.tar`, "-C", tree]);
  rmSync(`${tree}.tar`);
}
