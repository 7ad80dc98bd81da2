// Boots a Linux kernel in QEMU with its root file system on an export of `lambda-img serve`, runs the image's command
// there, and takes everything down. docs/microvm.md explains each step; --help says how it is called.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { GUEST, locate, makeInitrd, Refusal, STATUS_NONE } from "./microvm.initrd.mjs";

const HELP = `usage: node scripts/microvm.mjs IMAGE [options] [-- COMMAND [ARGUMENT...]]
       node scripts/microvm.mjs --uri URI [options] -- COMMAND [ARGUMENT...]

Boots a microVM whose root file system is an image of a store, and runs the image's command in it, or COMMAND in its
place (after the image's entrypoint, if it has one). The command's output comes to stdout, its status is the status.
125 says that there was no such status, 2 that the options are wrong.

  --store DIR, --key FILE   as lambda-img serve has them
  --overlay memory|FILE     where writes go, as lambda-img serve has it (default: memory)
  --read-only               the root file system is read-only
  --uri URI                 an export that is served already: nbd://HOST:PORT/NAME or nbd+unix:///NAME?socket=PATH
  --attach virtio|nbd       who is the NBD client: QEMU, which gives the guest a virtio disk (default), or the guest's
                            kernel
  --kernel FILE             the kernel (default: the newest /boot/vmlinuz-*)
  --modules DIR|none        its modules (default: lib/modules/VERSION beside the kernel's directory)
  --accel tcg|kvm           (default: kvm where this processor and user can, else tcg)
  --memory MIB              memory of the guest (default: 256)
  --verbose                 show QEMU's command line, and what the kernel says
  --help`;

const bin = path.resolve(import.meta.dirname, "../bin/lambda-img");
const PATH_DEFAULT = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// Where programs for root lie, the PATH of other users does not lead.
process.env.PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
const children = new Set();
let caught;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    caught ??= signal;
    for (const child of children) child.kill("SIGTERM");
  });
}

try {
  process.exitCode = await main(parse(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(`microvm: ${error.message}`);
  process.exitCode = error.status;
}

function parse(args) {
  const options = {
    ...{ store: { type: "string" }, key: { type: "string" }, overlay: { type: "string" } },
    ...{ "read-only": { type: "boolean", default: false }, uri: { type: "string" } },
    attach: { type: "string", default: "virtio" },
    ...{ kernel: { type: "string" }, modules: { type: "string" }, accel: { type: "string" } },
    memory: { type: "string", default: "256" },
    ...{ verbose: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
  };
  const end = args.indexOf("--");
  const words = end < 0 ? [] : args.slice(end + 1);
  try {
    const given = end < 0 ? args : args.slice(0, end);
    const { values, positionals } = parseArgs({ args: given, options, allowPositionals: true });
    const plan = { ...values, readOnly: values["read-only"], image: positionals[0], words };
    if (!plan.help) check(plan, positionals.length);
    return plan;
  } catch (error) {
    throw new Refusal(`${error.message}\n\n${HELP}`, 2);
  }
}

function check({ uri, store, key, attach, accel, memory, words, readOnly, overlay }, count) {
  if (uri !== undefined && [store, key, overlay].some((value) => value !== undefined))
    throw new Error("--uri: --store, --key and --overlay are for an image of a store");
  if (count !== (uri === undefined ? 1 : 0)) throw new Error("expected one image, or --uri");
  if (uri !== undefined && words.length === 0) throw new Error("--uri: expected a command after --");
  if (!["virtio", "nbd"].includes(attach))
    throw new Error(`--attach: expected virtio or nbd, found ${attach}`);
  if (![undefined, "tcg", "kvm"].includes(accel))
    throw new Error(`--accel: expected tcg or kvm, found ${accel}`);
  if (!/^[1-9]\d{1,6}$/.test(memory)) throw new Error(`--memory: expected a number of MiB, found ${memory}`);
  if (readOnly && overlay !== undefined)
    throw new Error("--read-only: there is nothing to write to an overlay");
}

async function main(plan) {
  if (plan.help) {
    console.log(HELP);
    return 0;
  }
  const kernel = findKernel(plan);
  checkPrograms(plan);
  const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-microvm-"));
  let server;
  try {
    const imageProcess = plan.uri === undefined ? processOfImage(plan) : bareProcess(plan.words);
    server = plan.uri === undefined ? await startServer(plan, path.join(work, "nbd.sock")) : undefined;
    const uri = server?.uri ?? plan.uri;
    const initrd = path.join(work, "initrd.gz");
    makeInitrd(initrd, { plan, kernel, uri, imageProcess, directory: path.join(work, "initrd") });
    return await boot(plan, { kernel, initrd, uri, statusFile: path.join(work, "status") });
  } finally {
    await server?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

/** The kernel, and where its modules are. */
function findKernel({ kernel, modules }) {
  const found = kernel === undefined ? newestKernel("/boot") : path.resolve(kernel);
  if (found === undefined || !existsSync(found)) {
    throw new Refusal(
      `${found ?? "/boot/vmlinuz-*"}: no kernel is there; --kernel FILE says where one is (Debian: linux-image-cloud-amd64)`,
    );
  }
  if (modules === "none") return { file: found };
  const version = path.basename(found).replace(/^[^-]*-/, "");
  const places = ["lib", "usr/lib"].map((lib) =>
    path.join(path.dirname(found), "..", lib, "modules", version),
  );
  const directory = modules === undefined ? places.find((place) => existsSync(place)) : path.resolve(modules);
  if (directory === undefined || !existsSync(directory)) {
    throw new Refusal(`${directory ?? places[0]}: no modules of the kernel are there; --modules DIR|none`);
  }
  return { file: found, modules: directory };
}

function newestKernel(directory) {
  const names = existsSync(directory)
    ? readdirSync(directory).filter((name) => name.startsWith("vmlinuz-"))
    : [];
  const newest = names.sort((left, right) => left.localeCompare(right, "en", { numeric: true })).at(-1);
  return newest === undefined ? undefined : path.join(directory, newest);
}

function checkPrograms({ attach }) {
  const packages = {
    ...{ "qemu-system-x86_64": "qemu-system-x86", busybox: "busybox-static", cpio: "cpio" },
    ...{ unshare: "util-linux", setpriv: "util-linux", ldd: "libc-bin" },
    ...(attach === "nbd" ? { "nbd-client": "nbd-client" } : {}),
  };
  const missing = Object.entries(packages).filter(([program]) => locate(program) === undefined);
  if (missing.length === 0) return;
  const named = missing.map(([program, name]) => `${program} (Debian: ${name})`);
  throw new Refusal(`programs are missing: ${named.join(", ")}`);
}

/** What the image's config says, with the words in place of its command. */
function processOfImage({ image, words, ...plan }) {
  const { config } = JSON.parse(lambdaImg(["inspect", image, "--json"], plan));
  const all = [...config.entrypoint, ...(words.length > 0 ? words : config.cmd)];
  if (all.length === 0) throw new Refusal("the image has no command of its own: expected one after --", 2);
  const env = config.env.filter((variable) => /^[A-Za-z_]\w*=/.test(variable));
  return {
    words: all,
    env: env.some((variable) => variable.startsWith("PATH=")) ? env : [PATH_DEFAULT, ...env],
    directory: config.workingDir === "" ? "/" : config.workingDir,
    ...findUser(config.user, (file) => rowsOf(lambdaImg(["cat", image, file], plan))),
  };
}

function bareProcess(words) {
  return { words, env: [PATH_DEFAULT], directory: "/", uid: 0, gid: 0 };
}

/** `user`, `uid`, `user:group`, `uid:gid`: names are those of the image's own files. */
function findUser(text, rows) {
  if (text === "" || text === "0" || text === "root") return { uid: 0, gid: 0 };
  const [user, group] = text.split(":");
  const isNumber = (word) => /^\d{1,10}$/.test(word);
  if (isNumber(user) && group !== undefined && isNumber(group))
    return { uid: Number(user), gid: Number(group) };
  const row = rows("/etc/passwd").find(([name, , uid]) => name === user || uid === user);
  const uid = isNumber(user) ? user : row?.[2];
  const named = (name) => (isNumber(name) ? name : rows("/etc/group").find((each) => each[0] === name)?.[2]);
  const gid = group === undefined ? (row?.[3] ?? "0") : named(group);
  if (uid === undefined || gid === undefined)
    throw new Refusal(`the image does not have the user ${text} of its config`);
  return { uid: Number(uid), gid: Number(gid) };
}

function rowsOf(text) {
  return text.split("\n").map((line) => line.split(":"));
}

function storeOptions({ store, key }) {
  return [
    ...(store === undefined ? [] : [`--store=${store}`]),
    ...(key === undefined ? [] : [`--key=${key}`]),
  ];
}

/** A command of lambda-img to its end; what it says against it is told by itself. */
function lambdaImg(args, plan) {
  const words = [bin, ...args, ...storeOptions(plan)];
  const { status, stdout } = spawnSync(process.execPath, words, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Refusal(`lambda-img ${args[0]} ended with ${status}`);
  return stdout;
}

/** Starts a child that ends when this process does, however that ends: setpriv's --pdeathsig is the kernel's promise. */
function start(program, args, options) {
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "--", program, ...args], options);
  const ended = new Promise((resolve) => {
    child.once("error", () => resolve(STATUS_NONE));
    child.once("close", (status) => resolve(status ?? STATUS_NONE));
  });
  children.add(child);
  void ended.then(() => children.delete(child));
  if (caught !== undefined) child.kill("SIGTERM");
  return { child, ended };
}

async function startServer(plan, socket) {
  const overlay = plan.readOnly ? "none" : (plan.overlay ?? "memory");
  const args = [bin, "serve", plan.image, "--json", "--quiet", `--socket=${socket}`, `--overlay=${overlay}`];
  // A process group of its own: a Ctrl-C on the terminal ends the guest first.
  const options = { stdio: ["ignore", "pipe", "inherit"], detached: true };
  const { child, ended } = start(process.execPath, [...args, ...storeOptions(plan)], options);
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  let said = "";
  const listening = new Promise((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      said += text;
      if (said.includes("\n")) resolve(true);
    });
  });
  if (await Promise.race([listening, ended.then(() => false)])) return { uri: JSON.parse(said).uri, stop };
  throw new Refusal("lambda-img serve ended before it listened");
}

/** Boots, and waits until the machine is off. Gives the status that init has told. */
async function boot(plan, { kernel, initrd, uri, statusFile }) {
  const accel = plan.accel ?? (hasKvm() ? "kvm" : "tcg");
  const args = [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"],
    ...[
      "-machine",
      "q35",
      "-accel",
      accel,
      "-cpu",
      accel === "kvm" ? "host" : "max",
      "-smp",
      "1",
      "-m",
      plan.memory,
    ],
    ...["-kernel", kernel.file, "-initrd", initrd],
    ...["-append", `console=ttyS0 panic=-1 ${plan.verbose ? "" : "loglevel=0"}`.trim()],
    ...["-serial", "stdio", "-serial", `file:${statusFile}`],
    ...(plan.attach === "virtio" ? virtioDisk(uri, plan) : networkTo(uri)),
  ];
  if (plan.verbose) console.error(["qemu-system-x86_64", ...args].join(" "));
  await start("qemu-system-x86_64", args, { stdio: "inherit" }).ended;
  const found = /^status (\d+)/m.exec(existsSync(statusFile) ? readFileSync(statusFile, "utf8") : "");
  if (found !== null) return Number(found[1]);
  if (caught !== undefined) return 128 + os.constants.signals[caught];
  throw new Refusal("the guest ended without a status; --verbose shows what its kernel says");
}

/** A processor that says so, and a device that this user can open. A kernel can have the device without the use of it. */
function hasKvm() {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false; // Whatever keeps it from being used: there is tcg.
  }
}

/** QEMU is the client. In its options a comma is written twice. */
function virtioDisk(uri, { readOnly }) {
  const drive = `file=${uri.replaceAll(",", ",,")},if=virtio,format=raw`;
  return ["-drive", `${drive},${readOnly ? "readonly=on" : "discard=unmap"}`];
}

/** The guest's kernel is the client: one address of its network, which leads nowhere else, is the server. */
function networkTo(uri) {
  const { protocol, hostname, port, searchParams } = new URL(uri);
  const socket = searchParams.get("socket");
  if (protocol !== (socket === null ? "nbd:" : "nbd+unix:"))
    throw new Refusal(`--uri: expected no ${protocol}//`, 2);
  const place =
    socket === null
      ? `host=${hostname},port=${port === "" ? GUEST.port : port}`
      : `path=${socket.replaceAll(",", ",,")}`;
  const forward = `guestfwd=tcp:${GUEST.server}:${GUEST.port}-chardev:server`;
  return [
    ...["-chardev", `socket,id=server,${place}`],
    ...["-netdev", `user,id=network,net=${GUEST.network},restrict=on,${forward}`],
    ...["-device", "virtio-net-pci,netdev=network,romfile="],
  ];
}
