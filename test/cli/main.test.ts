import { execFile, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { temporaryDirectory, writeLayout } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";

const TOP = path.resolve(import.meta.dirname, "../..");

describe.skipIf(!isBuilt)("lambda-img (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(() => {
    home = new CliHome();
  });
  afterAll(() => {
    home.remove();
  });

  test("prints its version, and helps", async () => {
    const { version } = JSON.parse(readFileSync(path.join(TOP, "package.json"), "utf8")) as {
      version: string;
    };
    for (const option of ["--version", "-V"]) expect((await home.run([option])).stdout).toBe(`${version}\n`);
    const help = await home.run(["--help"]);
    expect([help.status, help.stderr]).toEqual([0, ""]);
    for (const name of ["convert", "images", "inspect", "ls", "cat", "export"]) {
      expect(help.stdout).toMatch(new RegExp(`^ +${name} `, "m"));
    }
    const one = await home.run(["convert", "--help"]);
    for (const option of ["--store", "--key", "--json", "--name", "--platform", "--size", "--jobs"]) {
      expect(one.stdout).toContain(option);
    }
  });

  test.each([
    ["exports.main = () => Promise.resolve(4);", 4, /^$/],
    [
      "exports.main = () => new Promise(() => {});",
      70,
      /^lambda-img: bug: it ended before it was done;.*\n$/,
    ],
    ['exports.main = () => Promise.reject(new Error("no"));', 1, /Error: no\n.*program.main\.js:1:/s],
  ])("what it runs decides the status, and has to come to an end: %s", (text, status, said) => {
    const copy = temporaryDirectory();
    try {
      const program = ["package.json", "load-program.js"].map((name) => `dist/program/${name}`);
      for (const file of ["package.json", "bin/package.json", "bin/lambda-img", ...program]) {
        mkdirSync(path.dirname(path.join(copy.path, file)), { recursive: true });
        copyFileSync(path.join(TOP, file), path.join(copy.path, file));
      }
      writeFileSync(path.join(copy.path, "dist/program/main.js"), text);
      const found = spawnSync(process.execPath, [path.join(copy.path, "bin", "lambda-img"), "images"], {
        encoding: "utf8",
      });
      expect([found.status, found.stdout]).toEqual([status, ""]);
      expect(found.stderr).toMatch(said);
    } finally {
      copy.remove();
    }
  });

  test.each([
    [["convert"]],
    [["frobnicate"]],
    [["ls", "a", "b", "c"]],
    [["images", "--frobnicate"]],
    [["export", "a"]],
    [["cat", "a"]],
  ])("wrong usage ends with 2, nothing on stdout, and a last line for programs: %j", async (args) => {
    const found = await home.run([...args, "--json"]);
    expect([found.status, found.stdout]).toEqual([2, ""]);
    expect(errorOf(found)).toMatchObject({ type: "error", code: "USAGE_INVALID", kind: "usage" });
  });

  // The reader has left before anything is written: node takes longer to start than `true` to end.
  test.each([
    ["--version", "2>&3 | true", 141, ""],
    ["--help", "2>&3 | true", 141, ""],
    ["convert --help", "2>&3 | true", 141, ""],
    ["--version", "2>&3 >/dev/full", 9, "lambda-img: error: stdout: cannot write: ENOSPC\n"],
    ["--help", "2>&3 >/dev/full", 9, "lambda-img: error: stdout: cannot write: ENOSPC\n"],
    ["ls --frobnicate", "2>/dev/full", 2, ""],
    ["inspect nope", "2>/dev/full", 4, ""],
    ["inspect nope", "2>&1 >&3 | true", 4, ""],
  ])("%s %s ends with %i", async (words, where, status, said) => {
    await home.run(["convert", `oci:${path.join(TOP, "fixtures/images/sample")}`, "--name", "sample"]);
    const script = `"$0" "$1" ${words} 3>&2 ${where}; exit "\${PIPESTATUS[0]}"`;
    const args = ["-c", script, process.execPath, path.join(TOP, "bin", "lambda-img")];
    const env = {
      ...process.env,
      XDG_DATA_HOME: path.join(home.path, "share"),
      XDG_CONFIG_HOME: path.join(home.path, "config"),
    };
    const found = spawnSync("bash", args, { env, encoding: "utf8" });
    expect([found.status, found.stderr]).toEqual([status, said]);
  });

  test.each([
    [["convert", ""], "ref"],
    [["convert", "oci:x", "--store", ""], "--store"],
    [["convert", "oci:x", "--key="], "--key"],
    [["convert", "oci:x", "--ca", "a.pem", "--ca", ""], "--ca"],
    [["inspect", ""], "image"],
    [["cat", "a", ""], "path"],
    [["export", "a", "-o", ""], "--output"],
    [["stats", "--html", ""], "--html"],
    [["diff", "a", ""], "after"],
    [["serve", "--cache", ""], "--cache"],
    [["serve", "--socket", ""], "--socket"],
    [["mount", "a", ""], "dir"],
    [["umount", ""], "dir"],
  ])("an empty word is refused before anything is made of it: %j", async (args, name) => {
    const found = await home.run([...args, "--json"]);
    expect([found.status, found.stdout]).toEqual([2, ""]);
    expect(errorOf(found)).toMatchObject({
      code: "USAGE_INVALID",
      message: `${name}: expected a value, found an empty one`,
    });
  });

  test.each([[["images", "--key", "k"]], [["serve", "--status", "./s"]], [["umount", "m"]]])(
    "relative paths in a directory that was removed are no bug: %j",
    async (args) => {
      const gone = path.join(home.path, "gone");
      mkdirSync(gone);
      const script = 'rmdir "$PWD"; exec "$0" "$@"';
      const found = await promisify(execFile)(
        "bash",
        ["-c", script, process.execPath, path.join(TOP, "bin", "lambda-img"), ...args, "--json"],
        {
          cwd: gone,
          env: { ...process.env, HOME: home.path, XDG_CONFIG_HOME: path.join(home.path, "config") },
        },
      ).catch((error: unknown) => error as { code: number; stderr: string });
      expect(found).toMatchObject({ code: 4 });
      expect(found.stderr).toContain('"code":"PATH_NOT_FOUND"');
      expect(found.stderr).toContain("the working directory was removed");
    },
  );

  test("words that are not UTF-8 are refused, since node would name other files; U+FFFD itself is not", async () => {
    await home.run(["convert", `oci:${path.join(TOP, "fixtures/images/sample")}`, "--name", "sample"]);
    const script = '"$0" "$1" export sample --format tar -o "$(printf "$2")"';
    const bin = path.join(TOP, "bin", "lambda-img");
    const env = { ...process.env, XDG_DATA_HOME: path.join(home.path, "share") };
    const statusOf = (name: string): number | null =>
      spawnSync("bash", ["-c", script, process.execPath, bin, name], {
        cwd: home.path,
        env: { ...env, XDG_CONFIG_HOME: path.join(home.path, "config") },
      }).status;
    expect(statusOf("odd-\\xff")).toBe(2);
    expect(readdirSync(home.path).filter((name) => name.startsWith("odd-"))).toEqual([]);
    expect(statusOf("odd-\ufffd")).toBe(0);
  });

  test("a reader that leaves early is no bug", async () => {
    const big = tarBuilder().file("big", "0123456789\n".repeat(500_000)).end();
    writeLayout(path.join(home.path, "big"), [{ layers: [{ tar: big }] }]);
    jsonOf(await home.run(["convert", "oci:big", "--json"]));
    const bin = path.join(TOP, "bin", "lambda-img");
    const script = '"$0" "$1" "${@:2}" | head -c 5';
    const env = {
      ...process.env,
      XDG_DATA_HOME: path.join(home.path, "share"),
      XDG_CONFIG_HOME: path.join(home.path, "config"),
    };
    for (const args of [
      ["cat", "big", "/big"],
      ["export", "big", "-o", "-"],
    ]) {
      const { stdout, stderr } = await promisify(execFile)(
        "bash",
        ["-c", script, process.execPath, bin, ...args],
        { env },
      );
      expect([stdout.length, stderr]).toEqual([5, ""]);
    }
  });
});
