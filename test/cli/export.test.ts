import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { fsck, testWith } from "../support/judge.ts";
import { compareTrees } from "../support/judged-tree.ts";
import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { flattenTars } from "../support/layer-tree.ts";
import { LOWER, UPPER, writeApp } from "./_images.ts";

describe.skipIf(!isBuilt)("lambda-img export (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });
  const inHome = (name: string): string => path.join(home.path, name);

  testWith(["e2fsck"], "writes a sparse disk image that e2fsck finds nothing in", async () => {
    const json = jsonOf(await home.run(["export", "app", "-o", "disk.ext4", "--json"]));
    const { size, blocks } = statSync(inHome("disk.ext4"));
    expect(json).toMatchObject({
      command: "export",
      image: "app",
      format: "ext4",
      output: "disk.ext4",
      sizeBytes: size,
    });
    expect(blocks * 512).toBeLessThan(size / 4);
    await fsck(inHome("disk.ext4"));
    const { stdoutBytes } = await home.run(["export", "app", "-o", "-"]);
    expect(Buffer.compare(stdoutBytes, readFileSync(inHome("disk.ext4")))).toBe(0);
  });

  test("writes a tar that flattens to the same tree", async () => {
    const { status } = await home.run(["export", "app", "-o", "app.tar", "--format", "tar"]);
    expect(status).toBe(0);
    const found = flattenTars([new Uint8Array(readFileSync(inHome("app.tar")))]);
    expect(compareTrees(flattenTars([LOWER, UPPER]), found)).toEqual([]);
  });

  test("replaces a file only with --force, and leaves nothing behind that is not whole", async () => {
    writeFileSync(inHome("there"), "mine");
    const refused = await home.run(["export", "app", "-o", "there", "--json"]);
    expect([refused.status, errorOf(refused)["code"]]).toEqual([8, "OUTPUT_EXISTS"]);
    expect(readFileSync(inHome("there"), "utf8")).toBe("mine");
    expect((await home.run(["export", "app", "-o", "there", "--force"])).status).toBe(0);
    expect(statSync(inHome("there")).size).toBeGreaterThan(4);
    expect(readdirSync(home.path).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("--force replaces what a symlink leads to, and not the link", async () => {
    writeFileSync(inHome("led-to"), "old");
    symlinkSync("led-to", inHome("link"));
    expect((await home.run(["export", "app", "-o", "link", "--force"])).status).toBe(0);
    expect(lstatSync(inHome("link")).isSymbolicLink()).toBe(true);
    expect(statSync(inHome("led-to")).size).toBeGreaterThan(4);
  });

  test("a name may be as long as names can be, and is refused beyond that", async () => {
    const longest = "n".repeat(255);
    expect((await home.run(["export", "app", "-o", longest, "--format", "tar"])).status).toBe(0);
    expect(statSync(inHome(longest)).size).toBeGreaterThan(0);
    const found = await home.run(["export", "app", "-o", `${longest}n`, "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([7, "PATH_TOO_LONG"]);
  });

  describe("to a named pipe", () => {
    const pipe = (name: string): string => {
      execFileSync("mkfifo", [inHome(name)]);
      return inHome(name);
    };

    test("waits for its reader, who gets all of it", async () => {
      const file = pipe("pipe");
      const writing = home.run(["export", "app", "-o", file, "--format", "tar"]);
      // By then a program that does not wait would long have ended, with the pipe's content gone.
      expect((await home.run(["images"])).status).toBe(0);
      const reader = spawn("cat", [file], { stdio: ["ignore", "pipe", "ignore"] });
      const pieces: Uint8Array[] = [];
      reader.stdout.on("data", (piece: Uint8Array) => pieces.push(piece));
      await once(reader, "close");
      expect((await writing).status).toBe(0);
      const { stdoutBytes } = await home.run(["export", "app", "-o", "-", "--format", "tar"]);
      expect(Buffer.compare(Buffer.concat(pieces), stdoutBytes)).toBe(0);
    });

    test("fails where the reader leaves before the end", async () => {
      const file = pipe("left");
      const writing = home.run(["export", "app", "-o", file, "--json"]);
      execFileSync("head", ["-c", "10", file]);
      const found = await writing;
      expect([found.status, errorOf(found)["code"]]).toEqual([9, "OUTPUT_UNAVAILABLE"]);
      expect(found.stderr).toContain("EPIPE");
    });

    test("that nobody reads ends with a signal", async () => {
      const file = pipe("alone");
      const found = await home.run(["export", "app", "-o", file], {
        whileRunning: (child) => {
          void home.run(["images"]).then(() => {
            child.kill("SIGTERM");
          });
        },
      });
      expect([found.status, found.signal]).toEqual([130, null]);
    });
  });

  // A disk is told to keep bytes, and says only when it is asked to have kept them that it could not.
  testWith(["mount"], "a disk that does not take what is written is a failure", async () => {
    const small = inHome("small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "none", small]);
    try {
      execFileSync("truncate", ["-s", "512M", path.join(small, "disk")]);
      const device = execFileSync("losetup", ["--find", "--show", path.join(small, "disk")], {
        encoding: "utf8",
      }).trim();
      try {
        const found = await home.run(["export", "app", "-o", device, "--force", "--json"]);
        expect([found.status, errorOf(found)["kind"]]).toEqual([9, "unavailable"]);
      } finally {
        execFileSync("losetup", ["--detach", device]);
      }
    } finally {
      execFileSync("umount", [small]);
    }
  });

  test.each<[number, string, readonly string[]]>([
    [2, "USAGE_INVALID", ["app", "-o", "x", "--format", "zip"]],
    [2, "USAGE_INVALID", ["app", "-o", "-"]],
    [2, "USAGE_INVALID", ["app", "-o", ".", "--force"]],
    [4, "IMAGE_NOT_FOUND", ["other", "-o", "x"]],
    [4, "MANIFEST_NOT_FOUND", [`sha256:${"0".repeat(64)}`, "-o", "x"]],
    [4, "PATH_NOT_FOUND", ["app", "-o", "no/such/folder"]],
    [2, "USAGE_INVALID", ["app", "-o", "app"]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await home.run(["export", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([status, code]);
  });

  test("a damaged chunk is never written out", async () => {
    const chunks = readdirSync(home.storePath, { recursive: true, encoding: "utf8" }).filter((name) =>
      /chunks\/..\/./.test(name),
    );
    const file = path.join(home.storePath, chunks[0]!);
    const bytes = readFileSync(file);
    bytes[1000]! ^= 1;
    writeFileSync(file, bytes);
    const found = await home.run(["export", "app", "-o", "damaged", "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([6, "CHUNK_CORRUPT"]);
    expect(readdirSync(home.path).filter((name) => name.startsWith("damaged"))).toEqual([]);
    bytes[1000]! ^= 1;
    writeFileSync(file, bytes);
  });
});
