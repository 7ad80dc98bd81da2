// Trees of files that the image families are made of: parts of this machine, packages of npm, and their times.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { run } from "./_layout.mjs";

/** Programs of the base tree, where this machine has them, with the libraries they load. */
const PROGRAMS = `bash sh cat chmod chown cp cut date dd df du echo env false find grep gzip head id ln ls mkdir mv od openssl
  perl ps readlink rm rmdir sed sleep sort stat tail tar tee test touch tr true uname uniq wc xargs xz`;
const FOLDERS = [
  "/usr/share/zoneinfo",
  "/usr/share/terminfo",
  "/lib/terminfo",
  "/usr/share/perl5",
  "/usr/share/i18n",
];

const FIRST_DAY_SECONDS = Date.UTC(2025, 0, 1) / 1000;

/** Seconds since 1970 of a day of the families' calendar: day 0 is 2025-01-01. */
export function dayOf(day) {
  return FIRST_DAY_SECONDS + day * 86_400;
}

/**
 * Gives everything below `directory` an mtime of its own, in the order of the walk: `perSecond` paths a second from
 * `seconds` on. So does an installation that takes its time.
 */
export function stamp(directory, seconds, perSecond = 600) {
  let count = 0;
  for (const file of walk(directory)) {
    const time = seconds + Math.floor(count / perSecond);
    lutimesSync(file, time, time);
    count += 1;
  }
}

/** Gives these paths one mtime. */
export function touch(files, seconds) {
  for (const file of files) lutimesSync(file, seconds, seconds);
}

/** All paths below a directory and itself, in byte order, what is inside a directory before the directory. */
export function* walk(directory) {
  const names = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of names) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) yield* walk(file);
    else yield file;
  }
  yield directory;
}

/** The regular files below a directory, in the order of the walk. */
export function filesOf(directory) {
  return [...walk(directory)].filter((file) => lstatSync(file).isFile());
}

/** A small distribution out of this machine's own programs, libraries and tables; times stay as they are here. */
export function makeDistribution(directory) {
  const programs = run("sh", ["-c", `for p in ${PROGRAMS.replace(/\s+/g, " ")}; do command -v $p || :; done`])
    .split("\n")
    .filter((file) => file.startsWith("/"));
  for (const file of programs.flatMap((program) => [program, ...librariesOf(program)]))
    copyHere(file, directory);
  for (const folder of FOLDERS.filter((name) => existsSync(name))) copyHere(folder, directory);
  mkdirSync(path.join(directory, "etc"));
  mkdirSync(path.join(directory, "tmp"));
  writeFileSync(path.join(directory, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(path.join(directory, "etc/group"), "root:x:0:\n");
  for (const file of walk(directory))
    if (lstatSync(file).isDirectory() || file.startsWith(path.join(directory, "etc")))
      touch([file], dayOf(0));
}

/** This machine's Node: the binary, its libraries, and npm. */
export function makeNode(directory) {
  const target = path.join(directory, "usr/local");
  mkdirSync(path.join(target, "bin"), { recursive: true });
  mkdirSync(path.join(target, "lib/node_modules"), { recursive: true });
  run("cp", ["-a", process.execPath, path.join(target, "bin/node")]);
  for (const file of librariesOf(process.execPath)) copyHere(file, directory);
  const npm = path.join(run("npm", ["root", "--global"]).trim(), "npm");
  run("cp", ["-a", realpathSync(npm), path.join(target, "lib/node_modules/npm")]);
  stamp(directory, dayOf(0), Infinity);
}

/** Unpacks npm packages, `name@version` each, below `directory`; no dependencies of theirs, no scripts. */
export function unpackPackages(specs, directory) {
  mkdirSync(directory, { recursive: true });
  for (const spec of specs) {
    const archive = run("npm", ["pack", "--silent", "--pack-destination", directory, spec]).trim();
    const target = path.join(directory, spec.replace(/^@/, "").replaceAll(/[/@]/g, "-"));
    mkdirSync(target);
    run("tar", [
      "-xzf",
      path.join(directory, archive),
      "--strip-components=1",
      "--no-same-owner",
      "-C",
      target,
    ]);
    rmSync(path.join(directory, archive));
  }
}

/** A generator of 32-bit numbers (mulberry32): equal seeds, equal numbers. */
export function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

function librariesOf(program) {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  return [...(stdout ?? "").matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map((match) => match[1]);
}

/** Copies a path of this machine to the same place below `directory`; a link, and what it leads to. */
function copyHere(file, directory) {
  const place = path.join(realpathSync(path.dirname(file)), path.basename(file));
  const target = path.join(directory, place);
  if (existsSync(target)) return;
  mkdirSync(path.dirname(target), { recursive: true });
  run("cp", ["-a", place, target]);
  const real = realpathSync(place);
  if (real !== place) copyHere(real, directory);
}
