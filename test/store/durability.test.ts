import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { asCustomerKey, customerIdOf } from "../../src/crypto/customer-key.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { chunkPath } from "../../src/store/chunk-writer.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { codeOf, madeChunk } from "../contract/store.ts";
import { sampleContent } from "../support/manifest-sample.ts";

const KEY = asCustomerKey(new Uint8Array(32).fill(1));
const CUSTOMER = customerIdOf(KEY);
const MANIFEST = sealManifest(sampleContent(2), KEY);

let directory: string;
let path: string;
const opened: DirectoryStore[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lambda-img-store-"));
  path = join(directory, "store");
});

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(): Promise<DirectoryStore> {
  const store = await DirectoryStore.open(path, { create: true });
  opened.push(store);
  return store;
}

describe("the barrier", () => {
  const searchPath = process.env["PATH"];
  let tools: string;

  beforeEach(async () => {
    tools = join(directory, "bin");
    await mkdir(tools);
    process.env["PATH"] = tools;
  });

  afterEach(() => {
    process.env["PATH"] = searchPath;
  });

  async function makeTool(script: string): Promise<void> {
    await writeFile(join(tools, "sync"), `#!/bin/sh\n${script}\n`);
    await chmod(join(tools, "sync"), 0o755);
  }

  test("asks for one syncfs of the store", async () => {
    await makeTool(`echo "$@" >> ${join(directory, "log")}`);
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    await store.barrier();
    expect(await readFile(join(directory, "log"), "utf8")).toBe(`-f -- ${join(path, "roots", "r0")}\n`);
  });

  test("comes before the manifest even where it was forgotten", async () => {
    const log = join(directory, "log");
    await makeTool(`/bin/ls ${join(path, "roots/r0/manifests")} > ${log}; echo run >> ${log}`);
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    await store.putManifest(CUSTOMER, MANIFEST);
    expect(await readFile(join(directory, "log"), "utf8")).toBe("run\n");
  });

  test("goes file by file where there is no sync program", async () => {
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    await store.barrier([name]);
    await rm(chunkPath(join(path, "roots/r0/chunks"), name));
    // That it looks at the file is what shows that it is the one that is made durable.
    expect(await codeOf(store.barrier([name]))).toBe("STORE_UNAVAILABLE");
  });

  test("goes file by file where sync does not know the option", async () => {
    await makeTool(`echo "sync: invalid option -- 'f'" >&2; exit 1`);
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    await rm(chunkPath(join(path, "roots/r0/chunks"), name));
    expect(await codeOf(store.barrier())).toBe("STORE_NOT_FOUND");
  });

  test("fails where the system says that writes were lost, and what was put stays due", async () => {
    await makeTool(`echo "sync: error syncing '/store': Input/output error" >&2; exit 1`);
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    expect(await codeOf(store.barrier())).toBe("STORE_UNAVAILABLE");
    expect(await codeOf(store.putManifest(CUSTOMER, MANIFEST))).toBe("STORE_UNAVAILABLE");
    expect(await store.listManifests(CUSTOMER)).toEqual([]);
  });
});
