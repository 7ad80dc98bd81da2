/** `lambda-img serve --record`, and what it says of the options of prefetch. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";
import { LOWER, UPPER, writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

describe.skipIf(!isBuilt)("lambda-img serve with prefetch (needs npm run build)", () => {
  let home: CliHome;
  const tracesPath = (): string => path.join(home.storePath, "roots", "r0", "traces");

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path, [LOWER, UPPER]);
    await home.run(["convert", "oci:app"]);
  });
  afterAll(() => {
    home.remove();
  });

  function traceFiles(): readonly string[] {
    if (!existsSync(tracesPath())) return [];
    return readdirSync(tracesPath(), { recursive: true, encoding: "utf8" })
      .filter((name) => /[0-9a-f]{64}$/.test(name))
      .map((name) => path.join(tracesPath(), name));
  }

  /** Starts a server, reads the first block, and gives what the server says until its end. */
  async function readOnce(...args: readonly string[]): Promise<string> {
    const server = await startServe(home, ["app", "--overlay", "none", ...args]);
    await run("qemu-io", ["-r", "-f", "raw", "-c", "read 0 4k", server.uri]);
    await server.stop();
    return server.stderr();
  }

  testWith(
    ["qemu-io"],
    "keeps a trace beside the manifest, which later servers use or are told not to",
    async () => {
      expect(await readOnce()).not.toContain("trace");
      expect(traceFiles()).toEqual([]);
      expect(await readOnce("--record")).toMatch(/lambda-img: app: kept a trace of \d+ chunks\n/);
      const [file, ...others] = traceFiles();
      expect(others).toEqual([]);
      expect(await readOnce()).not.toContain("trace");
      const bytes = readFileSync(file!);
      bytes[5] = bytes[5]! ^ 1;
      writeFileSync(file!, bytes);
      const said = await readOnce();
      expect(said.match(/app: nothing is read ahead by its trace: trace: it is damaged/g)).toHaveLength(1);
      expect(said).toContain("0 reads of chunks failed");
      expect(await readOnce("--no-prefetch", "--prime", "2")).not.toContain("trace");
      expect(await readOnce("--record")).toContain("kept a trace");
      expect(await readOnce()).not.toContain("trace");
    },
  );

  test.each([
    ["USAGE_INVALID", ["--record"]],
    ["USAGE_INVALID", ["app", "other", "--record"]],
    ["USAGE_INVALID", ["app", "--prime", "65"]],
    ["USAGE_INVALID", ["app", "--prime", "-1"]],
    ["USAGE_INVALID", ["app", "--prime", "few"]],
  ])("ends with %s: %j", async (code, args) => {
    const found = await home.run(["serve", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([2, code]);
  });
});
