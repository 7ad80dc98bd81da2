import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { definite } from "../../src/base/error.ts";
import { showCustomerKey } from "../../src/crypto/customer-key.ts";
import { tableChunkName } from "../../src/manifest/manifest.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";
import { chunkFile, convertLayers, EXT2FS_PROGRAM, openTestStore, type TestStore } from "./_support.ts";

let place: TestStore;
beforeAll(async () => {
  place = await openTestStore();
});
afterAll(() => place.close());

interface Ran {
  readonly status: number | null;
  readonly records: readonly Readonly<Record<string, unknown>>[];
  readonly stderr: string;
}

/** Runs the program as verify does. */
async function runProgram(manifestId: string, key: string): Promise<Ran> {
  const child = spawn(process.execPath, [fileURLToPath(EXT2FS_PROGRAM), place.store.path, manifestId], {
    env: {},
  });
  child.stdin.end(key);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { status, stderr, records: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

async function read(
  tar: TarBuilder,
  damage?: (file: (position: number) => string, count: number) => void,
): Promise<Ran> {
  const { manifestId, content } = await convertLayers(place, [tar]);
  damage?.((position) => chunkFile(place, tableChunkName(content, position)), content.indexes.length);
  return runProgram(manifestId, `${showCustomerKey(place.keyring.customerKey())}\n`);
}

describe("the program that reads with libext2fs", () => {
  test("prints each path with what it is", async () => {
    const tar = tarBuilder()
      .file("d/a", "text", { mode: 0o640, uid: 65_537, mtime: 5 })
      .symlink("\xff", "\xfe");
    const { status, records, stderr } = await read(tar);
    expect([status, stderr]).toEqual([0, ""]);
    expect(records.find(({ path }) => path === "/d/a")).toMatchObject({
      kind: "path",
      type: "file",
      mode: 0o640,
      uid: 1,
      mtimeLow: 5,
      linkCount: 1,
      sizeLow: 4,
      readBytes: 4,
    });
    expect(records.find(({ path }) => path === "/\xff")).toMatchObject({
      type: "symlink",
      linkTarget: "\xfe",
    });
    expect(records.at(-1)).toMatchObject({ kind: "end", pathCount: records.length - 1 });
  });

  test("has room for more directories than the library's memory has", async () => {
    // Each listing loses some 12 KiB of 16 MiB, so that some 1,300 would be the end.
    const tar = tarBuilder();
    for (let i = 0; i < 1500; i++) tar.dir(`d${i}`);
    const { status, records } = await read(tar);
    expect(status).toBe(0);
    expect(records.at(-1)).toMatchObject({ kind: "end" });
    expect(records.length).toBeGreaterThan(1500);
  });

  test("tells of a chunk that is missing, not of a file", async () => {
    const tar = tarBuilder().file("a", new Uint8Array(600_000).fill(1));
    const { records } = await read(tar, (file) => {
      rmSync(file(1));
    });
    expect(records.at(-1)?.["kind"]).toBe("failed");
    expect(records.at(-1)?.["message"]).toMatch(/^chunk \d+: .*not in the store/);
  });

  test("fails without a key", async () => {
    const { manifestId } = await convertLayers(place, [tarBuilder()]);
    const { status, stderr } = await runProgram(manifestId, "");
    expect(status).toBe(1);
    expect(definite(stderr, "stderr")).toContain("not started by verify");
  });
});
