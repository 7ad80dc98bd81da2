import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { testWith, tools } from "../support/judge.ts";
import { digestOf, writeLayout } from "../support/oci-layout.ts";
import { incompressibleTar, tarBuilder } from "../support/tar-builder.ts";
import { LOWER, SECRET, writeApp } from "./_images.ts";

const byText = (left: string, right: string): number => (left < right ? -1 : 1);

const storedFiles = (home: CliHome): number =>
  readdirSync(home.storePath, { recursive: true, encoding: "utf8" }).filter((name) =>
    /chunks\/..\/./.test(name),
  ).length;

describe.skipIf(!isBuilt)("lambda-img convert (needs npm run build)", () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
    writeApp(home.path);
  });
  afterEach(() => {
    home.remove();
  });

  test("prints what docs/cli.md says; a second run stores nothing", async () => {
    const json = jsonOf(await home.run(["convert", "oci:app", "--json"]));
    expect(json).toMatchObject({
      command: "convert",
      name: "app",
      manifest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
      sourceDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
      platform: "linux/amd64",
      disk: { sizeBytes: expect.any(Number) as number, digest: expect.stringMatching(/^sha256:/) as string },
      layers: { total: 2, reused: 0 },
      seconds: expect.any(Number) as number,
    });
    const { total, zero, unique, new: fresh, reused, kept } = json["chunks"] as Record<string, number>;
    expect([total! * 524_288, reused]).toEqual([(json["disk"] as { sizeBytes: number }).sizeBytes, 0]);
    expect(fresh).toBe(unique);
    expect(zero! + unique!).toBeLessThanOrEqual(total!);
    const { pulled, layers, new: stored } = json["bytes"] as Record<string, number>;
    expect(pulled).toBeGreaterThan(layers!);
    expect(kept).toBe(1);
    expect(stored).toBe((fresh! + kept!) * 524_288);
    expect(stored).toBe(storedFiles(home) * 524_288);
    const again = jsonOf(await home.run(["convert", "oci:app", "--json"]));
    expect(again).toMatchObject({
      ...{ manifest: json["manifest"], disk: json["disk"], bytes: { layers: 0, new: 0 } },
      ...{
        chunks: { total, zero, unique, new: 0, reused: unique, kept: 0 },
        layers: { total: 2, reused: 2 },
      },
    });
    expect(jsonOf(await home.run(["convert", "oci:app", "--json", "--no-reuse"]))).toMatchObject({
      ...{ manifest: json["manifest"], disk: json["disk"], bytes: { layers, new: 0 } },
      ...{ chunks: { new: 0, kept: 0 }, layers: { total: 2, reused: 0 } },
    });
    expect(`${stored! / 524_288}`).toBe(`${storedFiles(home)}`);
  });

  test("says how much of an image was known; a dry run says the same as before", async () => {
    const dry = await home.run(["convert", "oci:app", "--dry-run"]);
    const first = await home.run(["convert", "oci:app"]);
    expect(first.stdout).toContain(", 2 layers, 0 of them known, ");
    expect(first.stdout).toMatch(/ new and 0 there before; 1 more kept for reuse\n/);
    const second = await home.run(["convert", "oci:app", "--name", "twice"]);
    expect(second.stdout).toContain(", 2 layers, 2 of them known, 0 B read)");
    expect(second.stdout).toContain("there before; 0 more kept for reuse\n");
    expect((await home.run(["convert", "oci:app", "--dry-run"])).stdout).toBe(dry.stdout);
    for (const name of ["app", "twice"]) {
      const verified = await home.run(["verify", name, "--source", "oci:app", "--json"]);
      expect(jsonOf(verified)).toMatchObject({ ok: true });
    }
  });

  testWith(["skopeo"], "takes the layers of an archive from what a layout gave", async () => {
    const layout = path.join(home.path, "app");
    for (const kind of ["oci-archive", "docker-archive"]) {
      const file = path.join(home.path, `${kind}.tar`);
      const words = ["--insecure-policy", "copy", "--quiet", `oci:${layout}`, `${kind}:${file}:app:v1`];
      spawnSync("skopeo", words, { stdio: "pipe" });
      const store = ["--store", path.join(home.path, `store-${kind}`), "--json"];
      const read = jsonOf(await home.run(["convert", "oci:app", ...store]));
      const reused = jsonOf(await home.run(["convert", `${kind}:${file}`, ...store]));
      expect(reused).toMatchObject({
        ...{ disk: read["disk"], layers: { total: 2, reused: 2 }, bytes: { layers: 0 } },
      });
      const full = jsonOf(await home.run(["convert", `${kind}:${file}`, ...store, "--no-reuse"]));
      expect(full).toMatchObject({ disk: read["disk"], manifest: reused["manifest"] });
    }
  });

  test("twice at once of one image into one store gives both the same", async () => {
    // The key file is there already: here it is about the store.
    jsonOf(await home.run(["convert", "oci:app", "--json", "--store", "alone"]));
    const both = await Promise.all(
      ["one", "two"].map((name) =>
        home.run(["convert", "oci:app", "--json", "--name", name, "--store", "both"]),
      ),
    );
    const [one, two] = both.map(jsonOf);
    expect(one?.["manifest"]).toBe(two?.["manifest"]);
    const files = (store: string, part: RegExp): string[] =>
      readdirSync(path.join(home.path, store), { recursive: true, encoding: "utf8" })
        .filter((name) => part.test(name))
        .sort(byText);
    const durable = /r0\/(chunks|manifests|segments|conversions)\//;
    expect(files("both", durable)).toEqual(files("alone", durable));
    expect(files("both", /refs\/[^/]+\/./)).toHaveLength(2);
    for (const name of ["one", "two"]) {
      const verified = await home.run(["verify", name, "--store", "both", "--source", "oci:app", "--json"]);
      expect(jsonOf(verified)).toMatchObject({ ok: true });
    }
  });

  test("converts every platform of an index under names of their own", async () => {
    const sample = path.resolve(import.meta.dirname, "../../fixtures/images/sample");
    const json = jsonOf(await home.run(["convert", `oci:${sample}`, "--all-platforms", "--json"]));
    const images = json["images"] as Record<string, unknown>[];
    expect(images.map(({ name, platform }) => [name, platform])).toEqual([
      ["sample-amd64", "linux/amd64"],
      ["sample-arm64", "linux/arm64"],
    ]);
    // The layers are the same, and so is the disk; the manifests name two images.
    expect(new Set(images.map(({ disk }) => JSON.stringify(disk))).size).toBe(1);
    expect(new Set(images.map(({ manifest }) => manifest)).size).toBe(2);
    const single = jsonOf(await home.run(["convert", "oci:app", "--all-platforms", "--json"]));
    expect((single["images"] as Record<string, unknown>[]).map(({ name }) => name)).toEqual(["app"]);
    const both = await home.run([
      "convert",
      "oci:app",
      "--all-platforms",
      "--platform",
      "linux/amd64",
      "--json",
    ]);
    expect([both.status, errorOf(both)["code"]]).toEqual([2, "USAGE_INVALID"]);
  });

  test("leaves the store as it was when the image turns out to be broken", async () => {
    await home.run(["convert", "oci:app"]);
    // Directories of chunks may stay behind (docs/format/store.md, "Staging").
    const files = (): string[] =>
      readdirSync(home.storePath, { recursive: true, withFileTypes: true })
        .filter((item) => item.isFile())
        .map((item) => path.join(item.parentPath, item.name))
        .sort(byText);
    const before = files();
    const body = Buffer.alloc(3_000_000, "some bytes of a layer whose end is missing ");
    const whole = tarBuilder().file("big", body).file("later", "x").end();
    writeLayout(path.join(home.path, "broken"), [
      { layers: [{ tar: LOWER }, { tar: whole.subarray(0, 3_000_900) }] },
    ]);
    const refused = await home.run(["convert", "oci:broken", "--json"]);
    expect([refused.status, errorOf(refused)["code"]]).toEqual([5, "TAR_INVALID"]);
    expect(files()).toEqual(before);
  });

  test("tells people in a few lines, with nothing of what the image keeps secret", async () => {
    const { status, stdout, stderr } = await home.run(["convert", "oci:app", "--name", "my/app:1"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^my\/app:1: sha256:[0-9a-f]{64}\n {2}source .*\n {2}disk .*\n {2}chunks .*\n {2}stored .*\n$/,
    );
    expect(stdout + stderr).not.toContain(SECRET);
    for (const line of stderr.trimEnd().split("\n")) expect(line).toMatch(/^lambda-img: /);
  });

  test("takes size, platform and jobs; none of jobs changes the result", async () => {
    const convert = async (...args: string[]): Promise<Record<string, unknown>> =>
      jsonOf(await home.run(["convert", "oci:app", "--json", ...args]));
    expect((await convert("--size", "16M"))["disk"]).toMatchObject({ sizeBytes: 16 * 2 ** 20 });
    const free = (await convert("--size", "+200M"))["disk"] as { sizeBytes: number };
    expect(free.sizeBytes).toBeGreaterThan(200 * 2 ** 20);
    const one = await convert("--jobs", "1", "--store", "one");
    const three = await convert("--jobs", "3", "--store", "three"); // Where the image is known, nothing is converted.
    expect(three).toMatchObject({ manifest: one["manifest"], disk: one["disk"], layers: { reused: 0 } });
    expect(await convert("--platform", "linux/x86_64")).toMatchObject({ platform: "linux/amd64" });
  });

  test("warns of times that ext4 cannot hold", async () => {
    const tar = tarBuilder()
      .pax([["mtime", "99999999999"]])
      .file("a")
      .end();
    writeLayout(path.join(home.path, "late"), [{ layers: [{ tar }] }]);
    const { stderr, stdout } = await home.run(["convert", "oci:late", "--json", "-q"]);
    expect(stderr).toContain("warning: 1 files have a time that ext4 cannot hold");
    expect(JSON.parse(stdout)).toMatchObject({ clampedTimes: 1 });
  });

  test.each<[string, readonly string[], Record<string, string>, readonly [number, number, number]]>([
    ["preserve", [], {}, [500, 1500, 2500]],
    ["zero", ["--mtime", "zero"], {}, [0, 0, 0]],
    ["clamp:1500", ["--mtime", "clamp:1500"], {}, [500, 1500, 1500]],
    ["clamp:1000", [], { SOURCE_DATE_EPOCH: "1000" }, [500, 1000, 1000]],
    ["preserve", ["--mtime", "preserve"], { SOURCE_DATE_EPOCH: "1000" }, [500, 1500, 2500]],
    ["preserve", [], { SOURCE_DATE_EPOCH: "" }, [500, 1500, 2500]],
  ])("gives files the times of %s for %j and %j", async (policy, args, env, times) => {
    const tar = tarBuilder()
      .file("a", "a", { mtime: 500 })
      .file("b", "b", { mtime: 1500 })
      .file("c", "c", { mtime: 2500 })
      .end();
    writeLayout(path.join(home.path, "times"), [{ layers: [{ tar }] }]);
    jsonOf(await home.run(["convert", "oci:times", "--json", ...args], { env }));
    expect(jsonOf(await home.run(["inspect", "times", "--json"]))).toMatchObject({
      options: { mtime: policy },
    });
    const verified = await home.run(["verify", "times", "--source", "oci:times", "--json"]);
    expect(jsonOf(verified)).toMatchObject({ ok: true });
    if (!tools.debugfs) return;
    jsonOf(await home.run(["export", "times", "-o", "times.ext4", "--json"]));
    const found = ["a", "b", "c"].map((name) => {
      const shown = spawnSync("debugfs", ["-R", `stat /${name}`, path.join(home.path, "times.ext4")]);
      return parseInt(/^\s*mtime: 0x([0-9a-f]+)/m.exec(shown.stdout.toString())?.[1] ?? "", 16);
    });
    expect(found).toEqual(times);
  });

  test("says where a policy of times came from that no option gave", async () => {
    const quiet = await home.run(["convert", "oci:app"], { env: { SOURCE_DATE_EPOCH: "7" } });
    expect(quiet.stderr).toContain("SOURCE_DATE_EPOCH is set: --mtime clamp:7\n");
    const wrong = await home.run(["convert", "oci:app", "--json"], { env: { SOURCE_DATE_EPOCH: "now" } });
    expect(errorOf(wrong)).toMatchObject({ code: "USAGE_INVALID" });
  });

  const damaged = { tar: LOWER, stored: new Uint8Array(100) };
  // Large enough for threads, which hash it.
  const misnamed = { tar: incompressibleTar(5_000_000), diffId: digestOf(LOWER) };
  test.each<[number, string, readonly string[], Parameters<typeof writeLayout>[1]?]>([
    [2, "REFERENCE_INVALID", ["oci:"]],
    [2, "USAGE_INVALID", ["oci:app", "--mtime", "keep"]],
    [2, "SIZE_INVALID", ["oci:app", "--size", "big"]],
    [2, "SIZE_INVALID", ["oci:app", "--max-layer-size", "0"]],
    [2, "USAGE_INVALID", ["oci:app", "--jobs", "0"]],
    [2, "USAGE_INVALID", ["oci:app", "--jobs", "1.5"]],
    [2, "USAGE_INVALID", ["oci:app", "--jobs", "257"]],
    [2, "REFERENCE_INVALID", ["oci:app", "--name", "a\nb"]],
    [2, "USAGE_INVALID", ["oci:app", "--name", ""]],
    // Such a name could never be used: it means a manifest.
    [2, "REFERENCE_INVALID", ["oci:app", "--name", `sha256:${"0".repeat(64)}`]],
    [4, "SOURCE_NOT_FOUND", ["oci:nowhere"]],
    [4, "IMAGE_NOT_FOUND", ["oci:app:v2"]],
    [4, "PLATFORM_NOT_FOUND", ["oci:app", "--platform", "linux/s390x"]],
    [5, "TREE_INVALID", ["oci:case"], [{ layers: [{ tar: tarBuilder().hardlink("a", "b").end() }] }]],
    [5, "TAR_PATH_UNSAFE", ["oci:case"], [{ layers: [{ tar: tarBuilder().file("../a").end() }] }]],
    [5, "WHITEOUT_INVALID", ["oci:case"], [{ layers: [{ tar: tarBuilder().file(".wh.").end() }] }]],
    [
      5,
      "TAR_INVALID",
      ["oci:case"],
      [{ layers: [{ tar: tarBuilder().file("a", "", { checksum: 1 }).end() }] }],
    ],
    [6, "SIZE_MISMATCH", ["oci:case"], [{ layers: [damaged] }]],
    [
      6,
      "DIFF_ID_MISMATCH",
      ["oci:case"],
      [{ layers: [{ tar: LOWER, diffId: digestOf(new Uint8Array(1)) }] }],
    ],
    [6, "DIFF_ID_MISMATCH", ["oci:case", "--jobs", "1"], [{ layers: [misnamed] }]],
    [6, "DIFF_ID_MISMATCH", ["oci:case", "--jobs", "3"], [{ layers: [misnamed] }]],
    [7, "LAYER_TOO_LARGE", ["oci:app", "--max-layer-size", "1K"]],
    [7, "DISK_TOO_SMALL", ["oci:app", "--size", "4K"]],
    [
      7,
      "PATH_TOO_LONG",
      ["oci:case"],
      [{ layers: [{ tar: tarBuilder().gnuLongName("n".repeat(256)).file("x").end() }] }],
    ],
    [10, "SOURCE_KIND_UNSUPPORTED", ["docker-daemon:app"]],
    [
      10,
      "FILE_TYPE_UNSUPPORTED",
      ["oci:case"],
      [{ layers: [{ tar: tarBuilder().entry({ name: "a", typeflag: "M" }).end() }] }],
    ],
  ])("ends with %i, %s: %j", async (status, code, args, images) => {
    if (images !== undefined) writeLayout(path.join(home.path, "case"), images);
    const found = await home.run(["convert", ...args, "--json"]);
    expect([found.status, found.stdout]).toEqual([status, ""]);
    const error = errorOf(found);
    expect(error).toMatchObject({
      type: "error",
      code,
      kind: expect.any(String) as string,
      details: expect.any(Object) as object,
    });
    expect(found.stderr).toContain(`lambda-img: error: ${error["message"] as string}\n`);
  });
});

describe.skipIf(!isBuilt)("a conversion that is stopped (needs npm run build)", () => {
  let home: CliHome;
  let reference: Record<string, unknown>;
  // Large enough to be in the middle of it for a while; every chunk differs.
  const tar = tarBuilder();
  for (let i = 0; i < 48; i++) {
    const body = new Uint8Array(2 ** 20);
    for (let at = 0; at < body.length; at += 4) body[at] = (at * 31 + i * 7 + (at >> 9)) & 255;
    tar.file(`f${i}`, body);
  }

  beforeAll(async () => {
    home = new CliHome();
    writeLayout(path.join(home.path, "big"), [{ layers: [{ tar: tar.end(), compression: "none" }] }]);
    reference = jsonOf(await home.run(["convert", "oci:big", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });

  // A terminal that is closed sends SIGHUP by its shell and by itself.
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s ends with 130, quietly, without a name, and with nothing unfinished",
    async (signal) => {
      const options = ["--store", `store-${signal}`, "--json"];
      const stopped = await home.run(["convert", "oci:big", ...options], {
        whileRunning: (child) => {
          // The note on the new store is the first word after the handlers are there.
          const timer = setInterval(() => {
            if (!child.stderr().includes("new store")) return;
            clearInterval(timer);
            child.kill(signal);
            if (signal === "SIGHUP") child.kill(signal);
          }, 1);
        },
      });
      expect([stopped.status, stopped.stdout]).toEqual([130, ""]);
      expect(errorOf(stopped)).toMatchObject({ code: "CANCELLED", kind: "cancelled" });
      expect(stopped.stderr).not.toContain("lambda-img: error");
      expect(jsonOf(await home.run(["images", ...options]))["images"]).toEqual([]);
      expect(readdirSync(path.join(home.path, `store-${signal}`, "roots", "r0", "tmp"))).toEqual([]);
    },
  );

  test("by SIGKILL at any point leaves a store in which a second run finishes the work", async () => {
    for (const delayMs of [90, 170, 250, 350]) {
      const store = `killed-${delayMs}`;
      await home.run(["convert", "oci:big", "--json", "--store", store], {
        whileRunning: (child) => {
          setTimeout(() => {
            child.kill("SIGKILL");
          }, delayMs);
        },
      });
      const second = jsonOf(await home.run(["convert", "oci:big", "--json", "--store", store]));
      expect(second).toMatchObject({ manifest: reference["manifest"], disk: reference["disk"] });
      const chunks = readdirSync(path.join(home.path, store), { recursive: true, encoding: "utf8" });
      expect(chunks.filter((name) => /chunks\/..\/./.test(name)).length).toBe(
        (reference["chunks"] as { unique: number }).unique,
      );
      const exported = await home.run(["cat", "big", "/f47", "--store", store]);
      expect(digestOf(exported.stdoutBytes)).toBe(
        digestOf((await home.run(["cat", "big", "/f47"])).stdoutBytes),
      );
      rmSync(path.join(home.path, store), { recursive: true });
    }
  });

  test("by SIGKILL while a rebuilt image takes over known layers leaves what a second run finishes", async () => {
    const upper = tarBuilder().file(".wh.f3").file("f7", "new").end();
    const layers = [tar.end(), upper].map((bytes) => ({ tar: bytes, compression: "none" as const }));
    writeLayout(path.join(home.path, "rebuilt"), [{ layers }]);
    const right = jsonOf(await home.run(["convert", "oci:rebuilt", "--json", "--store", "right"]));
    for (const delayMs of [80, 130, 180, 230]) {
      const store = ["--store", `rebuilt-${delayMs}`];
      jsonOf(await home.run(["convert", "oci:big", "--json", ...store]));
      await home.run(["convert", "oci:rebuilt", "--json", ...store], {
        whileRunning: (child) => {
          setTimeout(() => {
            child.kill("SIGKILL");
          }, delayMs);
        },
      });
      const second = jsonOf(await home.run(["convert", "oci:rebuilt", "--json", ...store]));
      expect(second).toMatchObject({ manifest: right["manifest"], disk: right["disk"] });
      const verified = await home.run(["verify", "rebuilt", ...store, "--source", "oci:rebuilt", "--json"]);
      expect(jsonOf(verified)).toMatchObject({ ok: true });
      rmSync(path.join(home.path, `rebuilt-${delayMs}`), { recursive: true });
    }
  });
});
