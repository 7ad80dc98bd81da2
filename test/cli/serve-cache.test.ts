/** `lambda-img serve --cache`, and what it says of the options of tiers. */
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

const SECRET_TEXT = "a secret that the cache must not hold in the clear";
const LARGE = tarBuilder().file("large", SECRET_TEXT.repeat(30_000)).end();

describe.skipIf(!isBuilt)("lambda-img serve with tiers (needs npm run build)", () => {
  let home: CliHome;
  let cache: string;
  let count = 0;
  const inHome = (name: string): string => path.join(home.path, name);

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path, [LARGE, LOWER]);
    await home.run(["convert", "oci:app"]);
    await home.run(["export", "app", "-o", "disk.ext4"]);
  });
  beforeEach(() => {
    cache = `cache-${count++}`;
  });
  afterAll(() => {
    home.remove();
  });

  function chunkFiles(directory: string): string[] {
    return readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((name) => /[0-9a-f]{64}$/.test(name) && !/manifests|refs|segments|conversions/.test(name))
      .map((name) => path.join(directory, name));
  }

  /** The disk image as a client gets it, from a server that is started for it alone. */
  async function served(...args: readonly string[]): Promise<{ isRight: boolean; stderr: string }> {
    const server = await startServe(home, ["app", "--overlay", "none", ...args]);
    const isRight = await run("nbdcopy", [server.uri, inHome("copy")]).then(
      () => readFileSync(inHome("copy")).equals(readFileSync(inHome("disk.ext4"))),
      () => false,
    );
    await server.stop();
    return { isRight, stderr: server.stderr() };
  }

  /** Without the chunks of the store. */
  async function withoutChunks<T>(use: () => Promise<T>): Promise<T> {
    const chunks = path.join(home.storePath, "roots", "r0", "chunks");
    renameSync(chunks, inHome("chunks-away"));
    try {
      return await use();
    } finally {
      renameSync(inHome("chunks-away"), chunks);
    }
  }

  testWith(["nbdcopy"], "what was read once is served from the cache, without the store", async () => {
    expect((await served("--cache", cache)).isRight).toBe(true);
    const names = (directory: string): string[] =>
      chunkFiles(directory)
        .map((file) => path.basename(file))
        .toSorted((left, right) => (left < right ? -1 : 1));
    expect(names(inHome(cache))).toEqual(names(home.storePath));
    for (const file of chunkFiles(inHome(cache))) {
      expect(readFileSync(file).includes(SECRET_TEXT.slice(0, 16))).toBe(false);
    }
    expect((await withoutChunks(() => served("--cache", cache))).isRight).toBe(true);
    expect((await withoutChunks(() => served())).isRight).toBe(false);
  });

  testWith(["nbdcopy"], "a damaged cache serves nothing wrong, and is mended from the store", async () => {
    await served("--cache", cache);
    for (const file of chunkFiles(inHome(cache))) {
      const bytes = readFileSync(file);
      bytes[4711] = bytes[4711]! ^ 1;
      writeFileSync(file, bytes);
    }
    expect((await served("--cache", cache)).isRight).toBe(true);
    expect((await withoutChunks(() => served("--cache", cache))).isRight).toBe(true);
  });

  testWith(["nbdcopy"], "a cache that cannot be used is said, and costs nothing else", async () => {
    mkdirSync(inHome(cache));
    symlinkSync(home.path, path.join(inHome(cache), "chunks-v1"));
    const { isRight, stderr } = await served("--cache", cache);
    expect(isRight).toBe(true);
    expect(stderr).toMatch(
      /lambda-img: warning: cache .*: it is not used: .*expected a directory, found none/,
    );
  });

  test.each([
    ["USAGE_INVALID", ["--memory", "1M"]],
    ["SIZE_INVALID", ["--memory", "much"]],
    ["USAGE_INVALID", ["--cache", ""]],
    ["USAGE_INVALID", ["--cache", "x", "--cache-size", "63M"]],
    ["SIZE_INVALID", ["--cache", "x", "--cache-size", "-1"]],
    ["USAGE_INVALID", ["--cache-size", "1G"]],
    ["USAGE_INVALID", ["--cache", "none", "--cache-size", "1G"]],
  ])("ends with %s: %j", async (code, args) => {
    const found = await home.run(["serve", "app", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([2, code]);
  });
});
