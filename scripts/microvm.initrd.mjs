// What scripts/microvm.mjs boots with its kernel: an initrd of init, a few programs of this machine with their libraries,
// the kernel's modules, and settings for init.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

/** The status where the guest has told none. */
export const STATUS_NONE = 125;

const init = path.join(import.meta.dirname, "microvm.init.sh");
/** Loaded in this order, if they are neither in the kernel nor missing; who needs them is in the kernel then, too. */
const MODULES = {
  all: "crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci",
  virtio: "virtio_blk",
  nbd: "failover net_failover virtio_net nbd",
};
/** What has to be there in one of the two ways. */
const MODULES_NEEDED = ["ext4", "virtio_pci", "virtio_blk", "virtio_net", "nbd"];

/** The network of the guest, which has one other host: the server. Addresses of RFC 5737, "TEST-NET-1". */
export const GUEST = { network: "192.0.2.0/24", server: "192.0.2.100", port: 10809 };

/** Something that the caller can mend; told without a stack. */
export class Refusal extends Error {
  constructor(message, status = STATUS_NONE) {
    super(message);
    this.status = status;
  }
}

/** Where a program is; undefined where it is not. */
export function locate(program) {
  const places = process.env.PATH.split(path.delimiter).filter((folder) => folder !== "");
  return places.map((folder) => path.join(folder, program)).find((file) => existsSync(file));
}

/** Programs with their libraries, modules, init and settings, as the kernel unpacks them into memory. */
export function makeInitrd(file, { plan, kernel, uri, imageProcess, directory }) {
  for (const folder of ["bin", "modules"]) mkdirSync(path.join(directory, folder), { recursive: true });
  for (const program of ["busybox", "unshare", ...(plan.attach === "nbd" ? ["nbd-client"] : [])]) {
    const found = realpathSync(locate(program));
    for (const library of librariesOf(found)) {
      mkdirSync(path.join(directory, path.dirname(library)), { recursive: true });
      copyFileSync(library, path.join(directory, library));
    }
    // Busybox has an unshare, too, which lacks what is needed; its links do not replace what is there.
    copyFileSync(found, path.join(directory, "bin", program));
  }
  symlinkSync("busybox", path.join(directory, "bin/sh"));
  copyFileSync(init, path.join(directory, "init"));
  chmodSync(path.join(directory, "init"), 0o755);
  copyModules(kernel, plan.attach, path.join(directory, "modules"));
  writeFileSync(path.join(directory, "settings"), settingsOf(plan, uri, imageProcess));
  const { stdout, status, stderr } = spawnSync("sh", ["-c", "find . | cpio --quiet -o -H newc -R 0:0"], {
    cwd: directory,
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Refusal(`cpio ended with ${status}: ${stderr}`);
  writeFileSync(file, gzipSync(stdout, { level: 1 }));
}

function librariesOf(program) {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map((match) => match[1]);
}

/** The modules that are needed and not in the kernel, in the order of their names. */
function copyModules({ modules }, attach, target) {
  if (modules === undefined) return;
  const files = readdirSync(path.join(modules, "kernel"), { recursive: true });
  const nameOf = (file) =>
    path
      .basename(file)
      .replace(/\.ko(\.\w+)?$/, "")
      .replaceAll("-", "_");
  const places = new Map(
    files.filter((file) => /\.ko(\.\w+)?$/.test(file)).map((file) => [nameOf(file), file]),
  );
  const builtin = new Set(
    readFileSync(path.join(modules, "modules.builtin"), "utf8").split("\n").map(nameOf),
  );
  `${MODULES.all} ${MODULES[attach]}`.split(" ").forEach((name, index) => {
    const place = places.get(name);
    if (place !== undefined) {
      const bytes = unpackModule(path.join(modules, "kernel", place));
      writeFileSync(path.join(target, `${String(index).padStart(2, "0")}-${name}.ko`), bytes);
    } else if (MODULES_NEEDED.includes(name) && !builtin.has(name)) {
      throw new Refusal(`${modules}: the kernel has no ${name}, neither built in nor as a module`);
    }
  });
}

function unpackModule(file) {
  const tool = { ".xz": "xz", ".zst": "zstd", ".gz": "gzip" }[path.extname(file)];
  if (tool === undefined) return readFileSync(file);
  const { stdout, status } = spawnSync(tool, ["-dc", file], { maxBuffer: 1 << 28 });
  if (status !== 0) throw new Refusal(`${tool} -dc ${file} ended with ${status}`);
  return stdout;
}

function settingsOf({ attach, readOnly }, uri, { words, env, directory, uid, gid }) {
  const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;
  const place = [`--root=/disk`, `--wd=${directory}`, `--setgid=${gid}`, `--setuid=${uid}`, "--"];
  const all = ["setsid", "-c", "env", "-i", ...env, "/bin/unshare", ...place, ...words];
  return `ATTACH=${attach}
MOUNT_OPTIONS=${readOnly ? "ro,noload" : "rw"}
EXPORT=${quote(decodeURIComponent(new URL(uri).pathname.slice(1)))}
HOST=${GUEST.server}
PORT=${GUEST.port}
IS_INTERACTIVE=${process.stdin.isTTY ? "yes" : "no"}
run_process() {
  ${all.map(quote).join(" ")}
}
`;
}
