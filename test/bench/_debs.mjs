// Debian trees for the image families: a base system, and what packages add to it.
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import path from "node:path";

import { isInstalled, run } from "./_layout.mjs";
import { dayOf, touch, walk } from "./_tree.mjs";

const PACKAGES =
  `nginx-light postgresql libmojolicious-perl libmoose-perl libdatetime-perl libdbd-pg-perl libxml-libxml-perl
  libwww-perl libtemplate-perl libimage-exiftool-perl git`.split(/\s+/);

/**
 * The base, and three layers over it: packages; the same packages installed on a later day; and the next release, which
 * has one package more and one less (a mirror has one version of each, so none can be upgraded).
 */
export async function makeDebs(family) {
  const base = bootstrap(family.directory("base"), [], 0);
  const build = async (part, packages, day) => {
    const directory = bootstrap(family.directory(part), packages, day);
    removeCommon(directory, base);
    return { directory, layer: await family.layer(directory) };
  };
  const first = await build("first", PACKAGES, 1);
  const later = await build("later", PACKAGES, 30);
  const next = [...PACKAGES.filter((name) => name !== "libtemplate-perl"), "libjson-xs-perl"];
  const other = await build("other", next, 60);
  return { base: await family.layer(base), first, later, other };
}

/** What this machine lacks to make Debian trees, in words; `undefined` where nothing. */
export function whyNoDebs() {
  if (suiteOf() === undefined) return "a Debian";
  if (process.getuid?.() !== 0) return "root";
  return isInstalled("mmdebstrap") ? undefined : "mmdebstrap";
}

/** The suite of this machine, if it is a Debian. */
function suiteOf() {
  if (!existsSync("/etc/os-release")) return undefined;
  const release = readFileSync("/etc/os-release", "utf8");
  return /^ID=debian$/m.test(release) ? /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1] : undefined;
}

/** A Debian system in `directory`; what the installation made, not unpacked, has the time of `day`. */
function bootstrap(directory, packages, day) {
  const sources = "/etc/apt/sources.list.d/debian.sources";
  const options = [
    "--variant=minbase",
    "--quiet",
    "--dpkgopt=force-unsafe-io",
    '--aptopt=APT::Install-Recommends "false"',
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    '--customize-hook=rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/ldconfig/aux-cache',
    '--customize-hook=rm -rf "$1"/var/log/*',
    `--include=${["usr-is-merged", ...packages].join(",")}`,
  ];
  const startMs = Date.now() - 2000; // Clocks of file systems may be a little behind.
  run("mmdebstrap", [...options, suiteOf(), directory, ...(existsSync(sources) ? [sources] : [])], {
    env: { ...process.env, LC_ALL: "C.UTF-8", SOURCE_DATE_EPOCH: String(dayOf(day)) },
  });
  touch(
    [...walk(directory)].filter((file) => lstatSync(file).mtimeMs >= startMs),
    dayOf(day),
  );
  return directory;
}

/** Removes from `upper` what `lower` has in the same place with the same content and metadata, and then bare directories. */
function removeCommon(upper, lower) {
  for (const file of [...walk(upper)]) {
    const below = path.join(lower, path.relative(upper, file));
    const above = lstatSync(file);
    if (above.isDirectory()) {
      if (file !== upper && readdirSync(file).length === 0 && existsSync(below))
        rmSync(file, { recursive: true });
    } else if (isEqual(file, below, above)) rmSync(file);
  }
}

function isEqual(file, below, above) {
  const there = lstatSync(below, { throwIfNoEntry: false });
  if (there === undefined || there.mode !== above.mode || there.uid !== above.uid || there.gid !== above.gid)
    return false;
  if (above.isSymbolicLink()) return readlinkSync(file) === readlinkSync(below);
  if (!above.isFile()) return true;
  return there.size === above.size && readFileSync(file).equals(readFileSync(below));
}
