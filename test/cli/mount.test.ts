/** `lambda-img mount` and `umount`, judged by the kernel. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { missingOf } from "../../src/cli/_host-program.ts";
import { CliHome, errorOf, isBuilt, jsonOf, type CliResult } from "../support/cli-run.ts";
import { describeWith, testWith } from "../support/judge.ts";
import { writeApp } from "./_images.ts";

test("programs and devices that are missing are named", async () => {
  expect(await missingOf(["sh", "no-such-program"], ["/dev/null", "/dev/no-such-device"])).toEqual([
    "no-such-program",
    "/dev/no-such-device",
  ]);
});

describe.skipIf(!isBuilt)("lambda-img mount (needs npm run build)", () => {
  let home: CliHome;
  let place: string;
  const environment = (): Record<string, string> => ({ XDG_RUNTIME_DIR: path.join(home.path, "run") });
  const cli = (...args: readonly string[]): Promise<CliResult> =>
    home.run([...args, "--json"], { env: environment() });

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    mkdirSync(path.join(home.path, "run"), { recursive: true });
    jsonOf(await cli("convert", "oci:app"));
    place = path.join(home.path, "a place");
  });
  afterAll(() => {
    home.remove();
  });
  beforeEach(() => {
    mkdirSync(place, { recursive: true });
  });
  afterEach(async () => {
    await cli("umount", place);
  });

  const state = (): string[] => readdirSync(path.join(home.path, "run", "lambda-img"));
  const isMounted = (): boolean =>
    readFileSync("/proc/mounts", "utf8").includes(place.replaceAll(" ", "\\040"));

  /** The processes of the mount, by a word of their command line. */
  function processOf(word: string): number {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        if (words.includes(word) && words.some((each) => each.includes(home.path))) return Number(pid);
      } catch {
        // It has ended meanwhile.
      }
    }
    throw new Error(`no process has ${word}`);
  }

  function storeBytes(): string[] {
    return readdirSync(home.storePath, { recursive: true, encoding: "utf8" })
      .map((name) => path.join(home.storePath, name))
      .filter((file) => statSync(file).isFile())
      .map((file) => `${file} ${readFileSync(file).toString("latin1")}`);
  }

  test.each<[number, string, readonly string[]]>([
    [2, "USAGE_INVALID", ["mount", "app", "a place", "--read-only", "--overlay", "memory"]],
    [2, "USAGE_INVALID", ["mount", "app", "a place", "--on-error", "x"]],
    [2, "SIZE_INVALID", ["mount", "app", "a place", "--overlay-size", "x"]],
    [2, "USAGE_INVALID", ["mount", "app", "a place", "--cache-size", "1G"]],
    [2, "USAGE_INVALID", ["mount", "app", "a place", "--prime", "x"]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await cli(...args);
    expect([found.status, errorOf(found)["code"]]).toEqual([status, code]);
  });

  testWith(["root"], "is refused to who is not root", () => {
    const bin = path.resolve(import.meta.dirname, "../../bin/lambda-img");
    const words = ["--reuid=65534", "--clear-groups", process.execPath, bin, "mount", "app", "x", "--json"];
    const { status, stderr } = spawnSync("setpriv", words, { encoding: "utf8", cwd: "/" });
    expect([status, stderr]).toEqual([3, expect.stringContaining("MOUNT_FORBIDDEN")]);
  });

  describeWith(["mount", "nbdfuse"], "on this machine", () => {
    test("shows the image's files, takes writes, and leaves the store as it was", async () => {
      const before = storeBytes();
      expect(jsonOf(await cli("mount", "app", place))).toMatchObject({
        command: "mount",
        image: "app",
        mountPoint: place,
        readOnly: false,
      });
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      expect(statSync(path.join(place, "etc/motd"))).toMatchObject({ uid: 7, gid: 8, nlink: 2 });
      writeFileSync(path.join(place, "new"), "x".repeat(1_000_000));
      writeFileSync(path.join(place, "etc/motd"), "changed\n");
      expect(jsonOf(await cli("umount", place))).toEqual({ command: "umount", mountPoint: place });
      expect([isMounted(), readdirSync(place), state()]).toEqual([false, [], []]);
      expect(storeBytes()).toEqual(before);
    });

    test("an image that cannot be read is named, and nothing stays", async () => {
      jsonOf(await cli("convert", "oci:app", "--name", "bad"));
      const refs = path.join(home.storePath, "roots", "r0", "refs");
      const [customer = ""] = readdirSync(refs);
      writeFileSync(path.join(refs, customer, "bad"), "{");
      const found = await cli("mount", "bad", place);
      expect([found.status, state(), isMounted()]).toEqual([5, [], false]);
      expect(errorOf(found)).toMatchObject({
        code: "STORE_INVALID",
        message: expect.stringMatching(/^bad: cannot read the ref: /) as string,
      });
    });

    test("keeps chunks in a cache and a trace in the store where it is told to", async () => {
      const cache = path.join(home.path, "cache");
      const filesOf = (directory: string): string[] =>
        readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
          /[0-9a-f]{64}$/.test(name),
        );
      const traces = path.join(home.storePath, "roots", "r0", "traces");
      const tiers = ["--cache", cache, "--cache-size", "64M", "--memory", "16M", "--prime", "1"];
      jsonOf(await cli("mount", "app", place, ...tiers, "--record"));
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      jsonOf(await cli("umount", place));
      expect([filesOf(cache).length > 0, filesOf(traces).length]).toEqual([true, 1]);
      jsonOf(await cli("mount", "app", place, ...tiers, "--no-prefetch"));
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      jsonOf(await cli("umount", place));
    });

    test("the server reads name and manifest once, however often nbdfuse connects", async () => {
      const log = path.join(home.path, "opened");
      writeFileSync(log, "");
      const lister = path.resolve(import.meta.dirname, "../bench/_device-delay.mjs");
      const env = {
        ...environment(),
        NODE_OPTIONS: `--import=${lister}`,
        LAMBDA_BENCH_STORE: home.storePath,
        LAMBDA_BENCH_DELAY_MS: "0",
        LAMBDA_BENCH_LOG: log,
      };
      jsonOf(await home.run(["mount", "app", place, "--no-prefetch", "--json"], { env }));
      const [directory = ""] = state();
      const mountDirectory = path.join(home.path, "run", "lambda-img", directory);
      const manifest = /"manifest":"(sha256:[0-9a-f]{64})"/.exec((await cli("inspect", "app")).stdout)?.[1];
      expect(readFileSync(path.join(mountDirectory, "image"), "utf8")).toBe(`app\n${manifest}\n`);
      jsonOf(await cli("umount", place));
      const opened = readFileSync(log, "utf8").trimEnd().split("\n");
      const kinds = opened.map((file) => file.split("/").find((part) => !/^(roots|r0)$/.test(part)));
      expect(kinds.filter((kind) => kind !== "chunks")).toEqual([
        "store.json",
        "root.json",
        "refs",
        "manifests",
      ]);
    });

    test("read-only, writes are refused by the kernel", async () => {
      jsonOf(await cli("mount", "app", place, "--read-only"));
      expect(() => {
        writeFileSync(path.join(place, "new"), "x");
      }).toThrow("EROFS");
      jsonOf(await cli("umount", place));
    });

    test("what was written to an overlay file is there when it is mounted again", async () => {
      const overlay = ["--overlay", path.join(home.path, "kept.overlay")];
      jsonOf(await cli("mount", "app", place, ...overlay));
      writeFileSync(path.join(place, "kept"), "kept");
      jsonOf(await cli("umount", place));
      jsonOf(await cli("mount", "app", place, ...overlay));
      expect(readFileSync(path.join(place, "kept"), "utf8")).toBe("kept");
      jsonOf(await cli("umount", place));
    });

    test.each([
      ["the server", "serve"],
      ["nbdfuse", "nbdfuse"],
    ])("is taken down after %s was killed", async (_, word) => {
      jsonOf(await cli("mount", "app", place));
      process.kill(processOf(word), "SIGKILL");
      jsonOf(await cli("umount", place));
      expect([isMounted(), state()]).toEqual([false, []]);
      jsonOf(await cli("mount", "app", place));
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      jsonOf(await cli("umount", place));
    });

    test("that is in use stays as it is, and is taken down later", async () => {
      jsonOf(await cli("mount", "app", place));
      const user = spawn("sh", ["-c", "echo ready; read line"], {
        cwd: place,
        stdio: ["pipe", "pipe", "ignore"],
      });
      await once(user.stdout, "data");
      const found = await cli("umount", place);
      expect([found.status, errorOf(found)["code"]]).toEqual([8, "MOUNT_CONFLICT"]);
      expect(errorOf(found)["message"]).toContain(`lambda-img umount ${place}`);
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      user.stdin.end("\n");
      await once(user, "close");
      jsonOf(await cli("umount", place));
    });

    test("a second mount on a place is refused, and the first one stays", async () => {
      jsonOf(await cli("mount", "app", place));
      const found = await cli("mount", "app", place);
      expect([found.status, errorOf(found)["code"]]).toEqual([8, "MOUNT_CONFLICT"]);
      expect(readFileSync(path.join(place, "etc/motd"), "utf8")).toBe("hello\n");
      jsonOf(await cli("umount", place));
    });

    test.each<[number, string, readonly string[]]>([
      [4, "IMAGE_NOT_FOUND", ["mount", "other", "a place"]],
      [4, "PATH_NOT_FOUND", ["mount", "app", "nowhere"]],
      [4, "PATH_NOT_FOUND", ["mount", "app", "no/where"]],
      [4, "PATH_NOT_FOUND", ["mount", "app", "app/index.json"]],
      [4, "MOUNT_NOT_FOUND", ["umount", "a place"]],
      [5, "OVERLAY_INVALID", ["mount", "app", "a place", "--overlay", "app/index.json"]],
    ])("ends with %i, %s, and leaves nothing behind: %j", async (status, code, args) => {
      const found = await cli(...args);
      expect([found.status, errorOf(found)["code"]]).toEqual([status, code]);
      expect([isMounted(), state()]).toEqual([false, []]);
    });

    test("a place where it would hide what its server needs is refused", async () => {
      for (const [directory, what] of [
        [home.path, "the store"],
        [home.storePath, "the store"],
        [path.dirname(home.keyPath), "the key file"],
        [path.join(home.path, "run"), "the state of mounts"],
        ["/", "the store"],
      ] as const) {
        const found = await cli("mount", "app", directory);
        expect([found.status, errorOf(found)["code"]]).toEqual([8, "MOUNT_CONFLICT"]);
        expect(found.stderr).toContain(`${directory}: a mount would hide ${what}, `);
      }
      // A link is where it leads to.
      symlinkSync(place, path.join(home.path, "link"));
      for (const [option, name] of [
        ["--cache", "the cache"],
        ["--overlay", "the overlay"],
      ] as const) {
        const found = await cli("mount", "app", place, option, path.join(home.path, "link", "not", "there"));
        expect(found.stderr).toContain(`a mount would hide ${name}, ${place}/not/there`);
      }
      expect(state()).toEqual([]);
    });

    test("what a mount that was killed has begun is taken down", async () => {
      const killed = await home.run(["mount", "app", place], {
        env: environment(),
        whileRunning: (child) => {
          // As soon as its directory is there; how far it comes until then differs from run to run.
          const timer = setInterval(() => {
            if (state().length === 0) return;
            clearInterval(timer);
            child.kill("SIGKILL");
          }, 1);
        },
      });
      expect(killed.signal).toBe("SIGKILL");
      jsonOf(await cli("umount", place));
      expect([isMounted(), state()]).toEqual([false, []]);
      rmdirSync(place);
    });
  });
});
