// Families of images for `npm run bench:dedup`: each a first image and what its next builds give. Times follow a calendar of
// ours, not the clock. What still differs: this machine's own programs in the base layers and as the binary of `static`;
// the versions that the registries have on the day of what the direct dependencies depend on; and what Debian's
// maintainer scripts draw by chance (a database).
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { makeDebs, whyNoDebs } from "./_debs.mjs";
import { makeLayer, run, writeLayout } from "./_layout.mjs";
import {
  dayOf,
  filesOf,
  makeDistribution,
  makeNode,
  makeRandom,
  stamp,
  touch,
  unpackPackages,
} from "./_tree.mjs";

const FAMILIES = {
  npm: makeNpm,
  jars: makeJars,
  static: makeStatic,
  rebuilt: makeRebuilt,
  debs: makeDebFamily,
};
const SOURCES = "parse-server@7.3.0"; // An application: about 200 small files.

const NPM_DEPENDENCIES = {
  "@babel/preset-env": "7.24.4",
  "aws-sdk": "2.1600.0",
  "date-fns": "3.5.0",
  eslint: "8.57.0",
  express: "4.19.1",
  jest: "29.7.0",
  lodash: "4.17.21",
  mongodb: "6.5.0",
  prettier: "3.2.5",
  react: "18.2.0",
  "react-dom": "18.2.0",
  rxjs: "7.8.1",
  typescript: "5.4.5",
  webpack: "5.91.0",
};

const USAGE = `usage: node test/bench/families.mjs --list | --out DIRECTORY [${Object.keys(FAMILIES).join("|")}]...

Makes DIRECTORY/FAMILY/IMAGE/oci (tag "latest") and DIRECTORY/FAMILY/images.json, the names, oldest first. Needs npm with
its registry, tar, gzip, ldd and cp; "debs" needs a Debian, mmdebstrap and root, too.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const wanted = positionals.length > 0 ? positionals : Object.keys(FAMILIES);
const unknown = wanted.filter((name) => !Object.hasOwn(FAMILIES, name));
if (values.help) {
  process.stdout.write(USAGE);
} else if (values.list) {
  console.log(Object.keys(FAMILIES).join("\n"));
} else if (values.out === undefined || unknown.length > 0) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  process.umask(0o022); // Modes of what we write are part of the layers.
  for (const name of wanted) await makeFamily(name);
}

/** Makes one family in a directory of its own; layers that images share are one file. */
async function makeFamily(name) {
  const out = path.resolve(values.out, name);
  const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-family-"));
  mkdirSync(out, { recursive: true });
  const pool = path.join(out, "layers");
  const family = {
    names: [],
    directory: (part) => {
      const directory = path.join(work, part);
      mkdirSync(directory, { recursive: true });
      return directory;
    },
    layer: (directory) => makeLayer(directory, pool),
    image: (image, layers) => {
      mkdirSync(path.join(out, image), { recursive: true });
      writeLayout(path.join(out, image, "oci"), layers);
      family.names.push(image);
      console.log(`${name}/${image}: ${layers.map((layer) => (layer.size / 1e6).toFixed(1)).join(" + ")} MB`);
    },
  };
  try {
    await FAMILIES[name](family);
    if (family.names.length > 0)
      writeFileSync(path.join(out, "images.json"), `${JSON.stringify(family.names)}\n`);
  } finally {
    rmSync(pool, { recursive: true, force: true });
    rmSync(work, { recursive: true, force: true });
  }
}

/** A service on Node: distribution, Node, what npm installed, the application. */
async function makeNpm(family) {
  const distribution = family.directory("distribution");
  makeDistribution(distribution);
  const node = family.directory("node");
  makeNode(node);
  const base = [await family.layer(distribution), await family.layer(node)];

  const first = family.directory("first");
  installPackages(first, NPM_DEPENDENCIES);
  const lock = path.join(first, "srv/app/package-lock.json");
  stamp(first, dayOf(1));
  const dependencies = await family.layer(first);
  const application = family.directory("application");
  copySources(application, 2);
  const sources = await family.layer(application);
  family.image("v1", [...base, dependencies, sources]);

  changeSources(application, 3, 3);
  family.image("v1-app3", [...base, dependencies, await family.layer(application)]);
  const touched = family.directory("touched");
  copySources(touched, 4);
  family.image("v1-touched", [...base, dependencies, await family.layer(touched)]);

  const rebuilt = family.directory("rebuilt");
  installPackages(rebuilt, { ...NPM_DEPENDENCIES, express: "4.19.2" }, lock);
  stamp(rebuilt, dayOf(30));
  family.image("v1-rebuilt", [...base, await family.layer(rebuilt), sources]);
  stamp(rebuilt, dayOf(31), 400);
  family.image("v1-rebuilt-again", [...base, await family.layer(rebuilt), sources]);
  rmSync(rebuilt, { recursive: true });

  const second = family.directory("second");
  installPackages(second, { ...NPM_DEPENDENCIES, "date-fns": "3.6.0", webpack: "5.92.0" }, lock);
  stamp(second, dayOf(60));
  const edited = family.directory("edited");
  copySources(edited, 61);
  changeSources(edited, 5, 61);
  family.image("v2", [...base, await family.layer(second), await family.layer(edited)]);
}

/** A fresh installation; with the lock of an earlier one, what is not asked for stays at its version. */
function installPackages(directory, dependencies, lock) {
  const target = path.join(directory, "srv/app");
  mkdirSync(target, { recursive: true });
  const description = { name: "sample-service", version: "1.0.0", private: true, dependencies };
  writeFileSync(path.join(target, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
  if (lock !== undefined) copyFileSync(lock, path.join(target, "package-lock.json"));
  run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: target });
}

/** The application's files below srv/app, with the times of a checkout of that day. */
function copySources(directory, day) {
  const target = path.join(directory, "srv/app");
  mkdirSync(target, { recursive: true });
  unpackPackages([SOURCES], target);
  stamp(directory, dayOf(day), 100);
}

/** Edits `count` files of the application, spread over it; the others keep their times. */
function changeSources(directory, count, day) {
  const files = filesOf(directory);
  const changed = Array.from(
    { length: count },
    (_, index) => files[Math.floor(((index + 1) * files.length) / (count + 1))],
  );
  for (const file of changed) appendFileSync(file, `\n// Changed on day ${day}.\n`);
  touch(changed, dayOf(day));
}

/** Few large files, compressed ones: a service on Java. The second image has other versions of two of four packages. */
async function makeJars(family) {
  const distribution = family.directory("distribution");
  makeDistribution(distribution);
  const base = await family.layer(distribution);
  const kept = ["vnu-jar@24.10.17", "selenium-server@3.141.59"];
  const first = ["google-closure-compiler-java@20230802.0.0", "npm-groovy-lint@15.0.0"];
  const second = ["google-closure-compiler-java@20240317.0.0", "npm-groovy-lint@15.0.2"];
  const settings = family.directory("settings");
  for (let index = 0; index < 20; index++) {
    mkdirSync(path.join(settings, "etc/service"), { recursive: true });
    writeFileSync(path.join(settings, `etc/service/${index}.properties`), `index=${index}\n`.repeat(50));
  }
  stamp(settings, dayOf(2));
  const configuration = await family.layer(settings);
  const build = (part, specs, day) => {
    const directory = family.directory(part);
    unpackPackages([...kept, ...specs], path.join(directory, "opt/service"));
    // The path of a package is the same in all versions.
    for (const spec of [...kept, ...specs]) {
      const name = spec.slice(0, spec.lastIndexOf("@"));
      const folder = path.join(directory, "opt/service");
      run("mv", [path.join(folder, spec.replaceAll("@", "-")), path.join(folder, name)]);
    }
    stamp(directory, dayOf(day));
    return directory;
  };
  const jars = build("first", first, 1);
  family.image("v1", [base, await family.layer(jars), configuration]);
  stamp(jars, dayOf(30));
  family.image("v1-rebuilt", [base, await family.layer(jars), configuration]);
  family.image("v2", [base, await family.layer(build("second", second, 60)), configuration]);
}

/** One layer: a large binary and little else. The second image has the binary linked anew. */
async function makeStatic(family) {
  const directory = family.directory("static");
  const target = path.join(directory, "server");
  mkdirSync(path.join(directory, "etc"));
  for (const name of ["passwd", "group", "nsswitch.conf", "hosts"])
    writeFileSync(path.join(directory, "etc", name), `# ${name}\n`);
  const first = readFileSync(process.execPath).subarray(0, 60 << 20);
  writeFileSync(target, first, { mode: 0o755 });
  stamp(directory, dayOf(1));
  family.image("v1", [await family.layer(directory)]);
  stamp(directory, dayOf(30), 1);
  family.image("v1-touched", [await family.layer(directory)]);
  writeFileSync(path.join(directory, "etc/hosts"), "127.0.0.1 localhost\n");
  touch([path.join(directory, "etc/hosts")], dayOf(31));
  family.image("v1-settings", [await family.layer(directory)]);
  writeFileSync(target, relink(first));
  touch([target], dayOf(60));
  family.image("v2", [await family.layer(directory)]);
}

/**
 * The bytes as after another link: in three places code was added, so what follows moves by sizes that are no multiple
 * of a block, and a tenth of the rest, in runs of 16 KiB, is other code.
 */
function relink(bytes) {
  const random = makeRandom(1);
  const noise = (size) => Uint8Array.from({ length: size }, () => random() & 0xff);
  const changed = Uint8Array.from(bytes);
  const run = 16 << 10;
  for (let index = 0; index < bytes.length / run; index++)
    if (random() % 10 === 0) changed.set(noise(Math.min(run, bytes.length - index * run)), index * run);
  const third = Math.floor(bytes.length / 4);
  return Buffer.concat([
    changed.subarray(0, third),
    noise(70_001),
    changed.subarray(third, 2 * third),
    noise(333_333),
    changed.subarray(2 * third, 3 * third),
    noise(12_345),
    changed.subarray(3 * third),
  ]);
}

/** One layer with two real static binaries (Rust and Go), and the next releases of both. */
async function makeRebuilt(family) {
  const platform = `linux-${process.arch === "arm64" ? "arm64" : "x64"}`;
  const releases = { v1: ["1.9.3", "0.24.0"], v2: ["1.9.4", "0.24.2"] };
  for (const [image, [rust, go]] of Object.entries(releases)) {
    const unpacked = family.directory(`${image}-packages`);
    unpackPackages([`@biomejs/cli-${platform}-musl@${rust}`, `@esbuild/${platform}@${go}`], unpacked);
    const directory = family.directory(image);
    mkdirSync(path.join(directory, "usr/local/bin"), { recursive: true });
    for (const file of filesOf(unpacked).filter((name) => /\/(biome|esbuild)$/.test(name)))
      run("cp", [file, path.join(directory, "usr/local/bin")]);
    stamp(directory, dayOf(image === "v1" ? 1 : 30), 1);
    family.image(image, [await family.layer(directory)]);
  }
}

/** Debian software that the Python family has not: web server, database, Perl. */
async function makeDebFamily(family) {
  const lack = whyNoDebs();
  if (lack !== undefined) {
    console.log(`left out: debs (needs ${lack})`);
    return;
  }
  const application = family.directory("application");
  copySources(application, 2);
  const sources = await family.layer(application);
  changeSources(application, 3, 3);
  const edited = await family.layer(application);
  const { base, first, later, other } = await makeDebs(family);
  family.image("v1", [base, first.layer, sources]);
  family.image("v1-app3", [base, first.layer, edited]);
  family.image("v1-rebuilt", [base, later.layer, sources]);
  stamp(first.directory, dayOf(40), 10);
  const touched = family.directory("touched");
  copySources(touched, 41);
  family.image("v1-touched", [base, await family.layer(first.directory), await family.layer(touched)]);
  family.image("v2", [base, other.layer, edited]);
}
