import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { tarBuilder } from "../support/tar-builder.ts";
import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { LOWER, UPPER, writeApp } from "./_images.ts";

const home = new CliHome();
let app: string;

beforeAll(async () => {
  if (!isBuilt) return;
  app = writeApp(home.path);
  jsonOf(await home.run(["convert", `oci:${app}`, "--name", "app", "--json"]));
});
afterAll(() => {
  home.remove();
});

/** The files of all chunks in the store. */
function chunkFiles(): string[] {
  const paths = readdirSync(home.storePath, { recursive: true, encoding: "utf8" });
  return paths
    .filter((name) => /\/chunks\/.*[0-9a-f]{64}$/.test(name))
    .map((name) => path.join(home.storePath, name));
}

describe.skipIf(!isBuilt)("verify", () => {
  test("says that an image is right, and what was read", async () => {
    const json = jsonOf(await home.run(["verify", "app", "--source", `oci:${app}`, "--json"]));
    expect(json).toMatchObject({
      command: "verify",
      image: "app",
      ok: true,
      chunks: { damaged: [], more: 0 },
      ext2fs: { ran: true, notVisible: 0, differences: [], more: 0 },
      source: { ran: true, reference: `oci:${app}`, differences: [], more: 0 },
    });
    expect(json["manifest"]).toMatch(/^sha256:[0-9a-f]{64}$/);
    const { disk, fileSystem, ext2fs } = json as Record<string, Record<string, unknown>>;
    expect(disk?.["found"]).toBe(disk?.["expected"]);
    expect(fileSystem?.["paths"]).toBe(ext2fs?.["paths"]);
  });

  test("leaves out what it is told to, and says so", async () => {
    const result = await home.run(["verify", "app", "--no-ext2fs", "--json"]);
    expect(jsonOf(result)).toMatchObject({ ok: true, ext2fs: { ran: false }, source: { ran: false } });
    const { stdout } = await home.run(["verify", "app", "--no-ext2fs"]);
    expect(stdout).toMatch(/^app: sha256:[0-9a-f]{64}: ok\n/);
    expect(stdout).toContain("  ext2fs       not asked\n  source       not given\n");
  });

  test("tells differences from another source with status 6, the result on stdout", async () => {
    const other = tarBuilder().file("name-\xff", "odder").bytes();
    const upper = new Uint8Array([...other, ...UPPER]);
    const layout = writeLayout(path.join(home.path, "other"), [{ layers: [{ tar: LOWER }, { tar: upper }] }]);
    const args = ["verify", "app", "--no-ext2fs", "--source", `oci:${layout}`];
    const result = await home.run([...args, "--json"]);
    expect(result.status).toBe(6);
    const json = JSON.parse(result.stdout) as { ok: boolean; source: { differences: unknown[] } };
    expect(json.ok).toBe(false);
    const pathBase64 = Buffer.from("/name-\xff", "latin1").toString("base64");
    expect(json.source.differences).toMatchObject([
      { path: "", field: "sourceDigest" },
      { pathBase64, field: "size", expected: 5, found: 3 },
      { pathBase64, field: "content" },
    ]);
    expect(errorOf(result)).toMatchObject({
      code: "VERIFY_FAILED",
      kind: "corrupt",
      details: { damagedChunks: 0, differences: 3 },
    });
    const { stdout, stderr } = await home.run(args);
    expect(stdout).toContain("/name-\\xff: size: expected 5, found 3\n");
    expect(stderr).toMatch(/^lambda-img: error: app: not as it should be: sourceDigest: expected sha256:/);
  });

  test("refuses wrong use and unknown images", async () => {
    expect((await home.run(["verify", "nothing"])).status).toBe(4);
    expect((await home.run(["verify"])).status).toBe(2);
    expect((await home.run(["verify", "app", "--source", "oci:"])).status).toBe(2);
    expect((await home.run(["verify", "app", "--source", `oci:${app}-none`])).status).toBe(4);
  });

  test("tells every damaged chunk with status 6", async () => {
    // One of them the image has not: what its first layer was before a file was hidden.
    for (const [i, file] of chunkFiles().entries()) {
      const sealed = readFileSync(file);
      if (i % 2 === 0) writeFileSync(file, sealed.fill((sealed[77] ?? 0) ^ 1, 77, 78));
      else rmSync(file);
    }
    const result = await home.run(["verify", "app", "--source", `oci:${app}`, "--json"]);
    expect(result.status).toBe(6);
    const json = JSON.parse(result.stdout) as { chunks: { damaged: { index: number; code: string }[] } };
    expect(json.chunks.damaged).toHaveLength(4);
    expect(new Set(json.chunks.damaged.map(({ code }) => code))).toEqual(
      new Set(["CHUNK_CORRUPT", "CHUNK_NOT_FOUND"]),
    );
    expect(json).toMatchObject({
      ok: false,
      disk: { found: null },
      fileSystem: { ran: false },
      ext2fs: { ran: false },
      source: { ran: false },
    });
    expect(errorOf(result)).toMatchObject({ code: "VERIFY_FAILED", details: { damagedChunks: 4 } });
  });
});
