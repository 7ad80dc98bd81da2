/**
 * What `npm test` runs: builds if needed, installs the judges it can, runs the tests, and prints as its last line
 * `N passed, N failed, N skipped`. Arguments go to vitest. Environment: docs/testing.md.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";

const top = path.resolve(import.meta.dirname, "..");

/** Programs that judge, and the Debian packages that have them. */
const JUDGE_PACKAGES = {
  e2fsck: "e2fsprogs",
  mke2fs: "e2fsprogs",
  debugfs: "e2fsprogs",
  dumpe2fs: "e2fsprogs",
  fuse2fs: "fuse2fs",
  mount: "mount",
  fincore: "util-linux",
  umoci: "umoci",
  skopeo: "skopeo",
  "docker-registry": "docker-registry",
  openssl: "openssl",
  zstd: "zstd",
  tar: "tar",
  python3: "python3",
  setfattr: "attr",
  setfacl: "acl",
  nbdinfo: "libnbd-bin",
  nbdcopy: "libnbd-bin",
  nbdfuse: "libnbd-bin",
  nbdsh: "python3-libnbd",
  "qemu-img": "qemu-utils",
  "qemu-io": "qemu-utils",
  fio: "fio",
  chromium: "chromium",
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  cpio: "cpio",
  "nbd-client": "nbd-client",
};

/** Programs that are taken out of their packages: to install these would start services. */
const UNPACKED_PROGRAMS = { promtool: "prometheus" };

/** Depends on the newest kernel for virtual machines, which is unpacked for the tests of microVMs, not installed. */
const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const kernelDirectory = path.join(top, "test/.cache/kernel");

process.exitCode = main();

function main() {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  let isGood = false;
  try {
    installJudges();
    isGood = buildIfNeeded() && runTests(counts);
  } catch (error) {
    console.error(error);
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return isGood && counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

function run(program, args, options = {}) {
  return spawnSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"], ...options });
}

function missingPrograms() {
  const folders = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/sbin"];
  return Object.keys({ ...JUDGE_PACKAGES, ...UNPACKED_PROGRAMS }).filter(
    (name) => !folders.some((folder) => existsSync(path.join(folder, name))),
  );
}

function installJudges() {
  let missing = missingPrograms();
  const isAllowed = process.env.LAMBDA_IMG_INSTALL_JUDGES !== "0";
  const canInstall = isAllowed && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (canInstall && (missing.length > 0 || isKernelMissing())) aptGet(["update"]);
  if (canInstall && missing.length > 0) {
    console.log(`installing judges: ${missing.join(", ")}`);
    const packages = [...new Set(missing.flatMap((name) => JUDGE_PACKAGES[name] ?? []))];
    if (aptGet(["install", "--no-install-recommends", ...packages]) !== 0) {
      // One package that the distribution lacks shall not cost the others.
      for (const name of packages) aptGet(["install", "--no-install-recommends", name]);
    }
    for (const name of missing) if (name in UNPACKED_PROGRAMS) unpackProgram(name);
    missing = missingPrograms();
  }
  if (canInstall && isKernelMissing()) unpackKernel();
  if (isKernelMissing()) missing.push("kernel");
  if (missing.length > 0) console.log(`without these judges, whose tests are skipped: ${missing.join(", ")}`);
}

function unpackProgram(name) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-judge-"));
  withPackage(UNPACKED_PROGRAMS[name], folder, (tree) => {
    run("install", ["-m", "755", path.join(tree, "usr/bin", name), "/usr/local/bin/"]);
  });
}

/** Gives `use` the files of a package that is not installed, in a folder that is removed afterwards. */
function withPackage(name, folder, use) {
  try {
    // Apt's own user cannot write there.
    aptGet(["download", "-o", "APT::Sandbox::User=root", name], { cwd: folder });
    const file = readdirSync(folder).find((entry) => entry.endsWith(".deb"));
    const tree = path.join(folder, "tree");
    if (file !== undefined && run("dpkg", ["-x", path.join(folder, file), tree]).status === 0) use(tree);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function isKernelMissing() {
  return process.arch === "x64" && !existsSync(kernelDirectory);
}

function unpackKernel() {
  const depends = spawnSync("apt-cache", ["depends", "--important", KERNEL_PACKAGE], { encoding: "utf8" });
  const name = /Depends: (linux-image-\S+)/.exec(depends.stdout ?? "")?.[1];
  if (name === undefined) return; // Another distribution.
  console.log(`unpacking a kernel: ${name}`);
  const folder = `${kernelDirectory}.part`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  withPackage(name, folder, (tree) => renameSync(tree, kernelDirectory));
}

function aptGet([command, ...args], more = {}) {
  const options = ["-y", "-qq", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20"];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const output = run("apt-get", [command, ...options, ...args], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 300_000,
    ...more,
  });
  return output.status;
}

/** The tests of the command line run what is in dist/. */
function buildIfNeeded() {
  const sources = filesBelow("src").filter((file) => file.endsWith(".ts"));
  const isBuilt = sources.every((file) => {
    const built = path.join(top, file.replace(/^src/, "dist").replace(/\.ts$/, ".js"));
    return existsSync(built) && statSync(built).mtimeMs >= statSync(path.join(top, file)).mtimeMs;
  });
  const built = existsSync(path.join(top, "dist"))
    ? filesBelow("dist").filter((file) => file.endsWith(".js"))
    : [];
  if (isBuilt && built.length === sources.length) return true;
  rmSync(path.join(top, "dist"), { recursive: true, force: true });
  const { status } = run("npm", ["run", "--silent", "build"]);
  if (status === 0) return true;
  // tsc writes files in spite of errors; the next run shall not take them for a build.
  rmSync(path.join(top, "dist"), { recursive: true, force: true });
  console.error("the build failed");
  return false;
}

function filesBelow(folder) {
  return readdirSync(path.join(top, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(top, path.join(entry.parentPath ?? entry.path, entry.name)));
}

function runTests(counts) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-test-"));
  try {
    const report = path.join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const vitest = path.join(top, "node_modules", "vitest", "vitest.mjs");
    const { status } = run(process.execPath, [vitest, "run", ...reporters, ...process.argv.slice(2)]);
    if (!existsSync(report)) return false;
    const skipped = count(JSON.parse(readFileSync(report, "utf8")), counts);
    if (skipped.length > 0) console.log(`skipped:\n${skipped.map((name) => `  ${name}`).join("\n")}`);
    return status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function count(report, counts) {
  const skipped = [];
  for (const file of report.testResults) {
    const states = file.assertionResults.map(({ status }) => status);
    counts.passed += states.filter((state) => state === "passed").length;
    const failed = states.filter((state) => state === "failed").length;
    // A file that cannot even be loaded, or whose hooks fail, has no failed test of its own.
    counts.failed += failed === 0 && file.status === "failed" ? 1 : failed;
    for (const { status, fullName } of file.assertionResults) {
      if (status !== "passed" && status !== "failed") skipped.push(fullName);
    }
  }
  counts.skipped += skipped.length;
  return skipped;
}
