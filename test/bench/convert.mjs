// `npm run bench`: convert beside what else does parts of the same work, turn by turn on the same image.
//   npm run bench -- [--image OCI-LAYOUT] [--runs N] [--write]
// Without --image it makes one from this machine's /usr (up to 400 MB, one gzip layer). Prints medians, spreads and
// ratios; --write keeps them in docs/benchmarks/convert.json. Peers that are not installed are left out by name.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const top = path.resolve(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    image: { type: "string" },
    runs: { type: "string", default: "5" },
    write: { type: "boolean", default: false },
  },
});
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-bench-"));

let registry;
try {
  const layout =
    values.image === undefined ? makeImage(path.join(work, "image")) : path.resolve(values.image);
  registry = await startRegistry(layout);
  const peers = [...listPeers(layout), ...listRegistryPeers()].filter(isPossible);
  const rows = new Map(peers.map((peer) => [peer.name, []]));
  for (let run = 0; run <= Number(values.runs); run++) {
    for (const peer of peers) {
      const figures = time(peer);
      if (run > 0) rows.get(peer.name).push(figures); // The first turn warms the page cache.
    }
  }
  report(layout, rows);
} finally {
  registry?.child.kill();
  rmSync(work, { recursive: true, force: true });
}

/** Debian's docker-registry on loopback with the image in it, pushed by skopeo; `undefined` without the two. */
async function startRegistry(layout) {
  if (!isPossible({ name: "registry", needs: ["docker-registry", "skopeo"] })) return undefined;
  const port = 20_000 + (process.pid % 20_000);
  const config = path.join(work, "registry.yml");
  const data = path.join(work, "registry");
  mkdirSync(data);
  writeFileSync(
    config,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${data}}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const name = `127.0.0.1:${port}/bench`;
  for (let tries = 0; tries < 50; tries++) {
    const { status } = spawnSync("skopeo", [
      "copy",
      "--quiet",
      "--dest-tls-verify=false",
      `oci:${layout}:${tagOf(layout)}`,
      `docker://${name}`,
    ]);
    if (status === 0) return { child, name };
    await new Promise((done) => setTimeout(done, 100));
  }
  child.kill();
  throw new Error("docker-registry did not take the image");
}

function listRegistryPeers() {
  if (registry === undefined) return [];
  const out = path.join(work, "out");
  return [
    {
      name: "lambda-img convert (registry)",
      needs: [],
      command: convertCommand(registry.name),
    },
    {
      name: "skopeo copy, umoci unpack",
      needs: ["umoci", "root"],
      command: [
        "sh",
        "-c",
        `skopeo copy --quiet --src-tls-verify=false docker://${registry.name} oci:${out}/l:x && umoci unpack --image ${out}/l:x ${out}/b`,
      ],
    },
  ];
}

/** Converts into a store that each turn begins without. */
function convertCommand(reference) {
  const options = ["--store", path.join(work, "out/store"), "--key", path.join(work, "key.json")];
  return [
    process.execPath,
    path.join(top, "bin/lambda-img"),
    "convert",
    reference,
    "--name",
    "bench",
    "--quiet",
    ...options,
  ];
}

function listPeers(layout) {
  const layers = layersOf(layout);
  const quoted = layers.map((layer) => `'${layer.path}'`).join(" ");
  const unpack = layers.every((layer) => layer.isGzip) ? `gzip -dc ${quoted}` : `cat ${quoted}`;
  const out = path.join(work, "out");
  return [
    {
      name: "lambda-img convert",
      needs: [],
      command: convertCommand(`oci:${layout}`),
    },
    {
      name: "gzip -dc | sha256sum",
      needs: ["gzip", "sha256sum"],
      command: ["sh", "-c", `${unpack} | sha256sum`],
    },
    {
      name: "igzip -dc | openssl dgst",
      needs: ["igzip", "openssl"],
      command: ["sh", "-c", `${unpack.replace("gzip", "igzip")} | openssl dgst -sha256`],
    },
    {
      name: "skopeo copy to dir:",
      needs: ["skopeo"],
      command: ["skopeo", "copy", "--quiet", `oci:${layout}`, `dir:${out}/dir`],
    },
    {
      name: "umoci unpack, mke2fs -d",
      needs: ["umoci", "mke2fs", "root"],
      command: [
        "sh",
        "-c",
        `umoci unpack --image '${layout}:${tagOf(layout)}' ${out}/b && mke2fs -q -t ext4 -d ${out}/b/rootfs ${out}/e.img $(( $(du -sm ${out}/b/rootfs | cut -f1) * 3 / 2 + 64 ))M`,
      ],
    },
  ];
}

function isPossible(peer) {
  const missing = peer.needs.filter((need) =>
    need === "root" ? process.getuid?.() !== 0 : spawnSync("sh", ["-c", `command -v ${need}`]).status !== 0,
  );
  if (missing.length > 0) console.log(`left out: ${peer.name} (needs ${missing.join(", ")})`);
  return missing.length === 0;
}

/** Wall and CPU seconds of the whole process tree, by the shell's own accounting. */
function time({ name, command }) {
  rmSync(path.join(work, "out"), { recursive: true, force: true });
  mkdirSync(path.join(work, "out"));
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>"$0"';
  const { stderr, status } = spawnSync("bash", ["-c", script, path.join(work, "errors"), ...command], {
    encoding: "utf8",
  });
  if (status !== 0)
    throw new Error(`${name} ended with ${status}: ${readFileSync(path.join(work, "errors"), "utf8")}`);
  const [wall, user, system] = stderr.trim().split(/\s+/).map(Number);
  return { wall, cpu: user + system };
}

function report(layout, rows) {
  const tarBytes = layersOf(layout).reduce((sum, layer) => sum + layer.sizeBytes, 0);
  const machine = `${os.cpus().length} × ${os.cpus()[0]?.model ?? "?"}, ${os.type()} ${os.release()}, Node ${process.version}`;
  console.log(
    `machine: ${machine}\nlayers: ${(tarBytes / 1e6).toFixed(0)} MB as stored; ${values.runs} runs each, in turn\n`,
  );
  const ours = median(rows.get("lambda-img convert").map((run) => run.wall));
  const result = [];
  for (const [name, runs] of rows) {
    const walls = runs.map((run) => run.wall);
    const row = {
      name,
      wall: median(walls),
      wallMin: Math.min(...walls),
      wallMax: Math.max(...walls),
      cpu: median(runs.map((run) => run.cpu)),
    };
    result.push({ ...row, ratio: ours / row.wall });
    console.log(
      `${name.padEnd(30)} wall ${row.wall.toFixed(2)} s (${row.wallMin.toFixed(2)} to ${row.wallMax.toFixed(2)})  cpu ${row.cpu.toFixed(2)} s  ours / this ${(ours / row.wall).toFixed(2)}`,
    );
  }
  if (!values.write) return;
  const directory = path.join(top, "docs/benchmarks");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    path.join(directory, "convert.json"),
    `${JSON.stringify({ machine, tarBytes, runs: Number(values.runs), result }, null, 2)}\n`,
  );
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function blobPath(layout, digest) {
  return path.join(layout, "blobs", ...digest.split(":"));
}

function imageDocument(layout) {
  let document = JSON.parse(readFileSync(path.join(layout, "index.json"), "utf8"));
  while (document.manifests !== undefined)
    document = JSON.parse(readFileSync(blobPath(layout, document.manifests[0].digest), "utf8"));
  return document;
}

function layersOf(layout) {
  return imageDocument(layout).layers.map(({ digest, mediaType, size }) => ({
    path: blobPath(layout, digest),
    isGzip: mediaType.endsWith("gzip"),
    sizeBytes: size,
  }));
}

function tagOf(layout) {
  const [entry] = JSON.parse(readFileSync(path.join(layout, "index.json"), "utf8")).manifests;
  return entry.annotations?.["org.opencontainers.image.ref.name"] ?? "latest";
}

/** An image of one layer: directories of /usr until there are 400 MB. */
function makeImage(layout) {
  const blobs = path.join(layout, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const folders = [
    "bin",
    "share/doc",
    "lib/python3",
    "share/man",
    "share/locale",
    "lib/gcc",
    "include",
    "lib",
  ].filter((name) => existsSync(path.join("/usr", name)));
  const tar = path.join(work, "layer.tar");
  let used = 0;
  const taken = folders.filter((name) => {
    const size = Number(
      spawnSync("du", ["-sm", path.join("/usr", name)], { encoding: "utf8" }).stdout.split(/\s/)[0],
    );
    if (used + size > 400 && used > 0) return false;
    used += size;
    return true;
  });
  spawnSync("tar", ["-cf", tar, "--format=pax", "-C", "/usr", "--one-file-system", ...taken], {
    stdio: "inherit",
  });
  const diffId = hashFile(tar);
  spawnSync("gzip", ["-6", tar], { stdio: "inherit" });
  const layer = {
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: hashFile(`${tar}.gz`),
    size: statSync(`${tar}.gz`).size,
  };
  renameOrCopy(`${tar}.gz`, blobPath(layout, layer.digest));
  const put = (mediaType, value) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(blobPath(layout, digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const config = put("application/vnd.oci.image.config.v1+json", {
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [diffId] },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put(mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  const entry = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "latest" } };
  writeFileSync(path.join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(path.join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  return layout;
}

function renameOrCopy(from, to) {
  try {
    renameSync(from, to);
  } catch {
    cpSync(from, to); // Another file system.
  }
}

function hashFile(file) {
  return `sha256:${spawnSync("sha256sum", [file], { encoding: "utf8" }).stdout.split(" ")[0]}`;
}
