import { execFileSync, spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { digestHex } from "../../src/base/digest.ts";
import { RECORD_BYTES_MAX, TRACE_BYTES_MAX } from "../../src/base/limit.ts";
import { CHUNK_BYTES, chunkNameOf } from "../../src/chunk/chunk.ts";
import { asCustomerKey, customerIdOf } from "../../src/crypto/customer-key.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { chunkPath } from "../../src/store/chunk-writer.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import type { RecordPlace } from "../../src/store/store.ts";
import { codeOf, madeChunk, storeContract } from "../contract/store.ts";
import { sampleContent } from "../support/manifest-sample.ts";

const KEY = asCustomerKey(new Uint8Array(32).fill(1));
const CUSTOMER = customerIdOf(KEY);
const MANIFEST = sealManifest(sampleContent(2), KEY);
const RECORD: RecordPlace = {
  kind: "segments",
  customerId: CUSTOMER,
  name: parseRecordName("5".repeat(64))!,
};
const STORE_JSON = '{"format":"lambda-img store","version":1,"chunkBytes":524288}\n';
const ROOT_JSON =
  '{"format":"lambda-img root","version":1,"rootId":"r0","state":"active","epoch":0,"placement":""}\n';

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

async function open(at: string = path, create = true): Promise<DirectoryStore> {
  const store = await DirectoryStore.open(at, { create });
  opened.push(store);
  return store;
}

storeContract("DirectoryStore", async () => {
  const place = await mkdtemp(join(tmpdir(), "lambda-img-store-"));
  return {
    open: () => DirectoryStore.open(join(place, "store"), { create: true }),
    remove: () => rm(place, { recursive: true, force: true }),
  };
});

describe("making and opening", () => {
  test("a fresh store has exactly the files of the format", async () => {
    const deep = join(directory, "a", "b");
    await open(deep);
    expect((await readdir(deep, { recursive: true })).sort((left, right) => (left < right ? -1 : 1))).toEqual(
      [
        "roots",
        "roots/r0",
        "roots/r0/chunks",
        "roots/r0/manifests",
        "roots/r0/refs",
        "roots/r0/root.json",
        "roots/r0/tmp",
        "store.json",
      ],
    );
    expect(await readFile(join(deep, "store.json"), "utf8")).toBe(STORE_JSON);
    expect(await readFile(join(deep, "roots/r0/root.json"), "utf8")).toBe(ROOT_JSON);
  });

  test("an empty directory becomes a store, a store stays as it is", async () => {
    await mkdir(path);
    const { name, sealed } = madeChunk(1);
    await (await open()).putChunk(name, sealed);
    expect(await (await open()).hasChunk(name)).toBe(true);
    expect(await (await open(path, false)).hasChunk(name)).toBe(true);
  });

  test("of many creators at once all have one valid store", async () => {
    const stores = await Promise.all(Array.from({ length: 12 }, () => open()));
    const { name, sealed } = madeChunk(1);
    const outcomes = await Promise.all(stores.map((store) => store.putChunk(name, sealed)));
    expect(outcomes).toContain("stored");
    for (const store of stores) expect(chunkNameOf(await store.getChunk(name))).toBe(name);
    for (const store of opened.splice(0)) await store.close();
    const files = await readdir(path, { recursive: true });
    expect(files.filter((file) => file.includes("tmp"))).toEqual(["roots/r0/tmp"]);
  });

  test.each([
    ["nothing but directories", ["roots/r0/chunks/"]],
    ["a temporary file", ["store.json.12-ab.tmp", "roots/"]],
    ["a root", ["roots/r0/tmp/", "roots/r0/chunks/", "roots/r0/root.json"]],
    ["a new disk's lost+found", ["lost+found/"]],
  ])("what an interrupted creation left is made whole: %s", async (_, names) => {
    for (const name of names) {
      await mkdir(join(path, name, name.endsWith("/") ? "" : ".."), { recursive: true });
      if (!name.endsWith("/"))
        await writeFile(join(path, name), name.endsWith("root.json") ? ROOT_JSON : "{");
    }
    expect(await codeOf(DirectoryStore.open(path, { create: false }))).toBe("STORE_NOT_FOUND");
    const { name, sealed } = madeChunk(1);
    expect(await (await open()).putChunk(name, sealed)).toBe("stored");
  });

  test("creation does not undo the state of a root that is there", async () => {
    await open();
    await rm(join(path, "store.json"));
    const placed = ROOT_JSON.replace('"placement":""', '"placement":"zone-a"');
    await writeFile(join(path, "roots/r0/root.json"), placed);
    expect((await open()).activeRoot().saltParameters).toEqual({
      rootId: "r0",
      epoch: 0,
      placement: "zone-a",
    });
  });

  test("what is not there is not found where it shall not be made", async () => {
    expect(await codeOf(DirectoryStore.open(path, { create: false }))).toBe("STORE_NOT_FOUND");
    expect(await readdir(directory)).toEqual([]);
  });

  test.each([true, false])(
    "a directory with other files is refused and left alone (create: %s)",
    async (create) => {
      await mkdir(path);
      await writeFile(join(path, "letter.txt"), "dear");
      expect(await codeOf(DirectoryStore.open(path, { create }))).toBe("STORE_INVALID");
      expect(await readdir(path)).toEqual(["letter.txt"]);
    },
  );

  test("a file in the store's place is refused", async () => {
    await writeFile(path, "");
    expect(await codeOf(DirectoryStore.open(path, { create: true }))).toBe("STORE_INVALID");
  });

  test.each([
    ["store.json", STORE_JSON.replace("store", "stork"), "STORE_INVALID"],
    ["store.json", STORE_JSON.replace(":1", ":2"), "STORE_VERSION_UNSUPPORTED"],
    ["store.json", STORE_JSON.replace(":1", ':"1"'), "STORE_INVALID"],
    ["store.json", STORE_JSON.replace("524288", "4096"), "STORE_INVALID"],
    ["store.json", "", "STORE_INVALID"],
    ["store.json", "null", "STORE_INVALID"],
    ["store.json", `{"x":"${"x".repeat(65536)}"}`, "STORE_INVALID"],
    ["roots/r0/root.json", ROOT_JSON.replace(":1", ":2"), "STORE_VERSION_UNSUPPORTED"],
    ["roots/r0/root.json", ROOT_JSON.replace('"r0"', '"r1"'), "STORE_INVALID"],
    ["roots/r0/root.json", ROOT_JSON.replace("active", "lazy"), "STORE_INVALID"],
    ["roots/r0/root.json", ROOT_JSON.replace('"epoch":0', '"epoch":-1'), "STORE_INVALID"],
    ["roots/r0/root.json", ROOT_JSON.replace('"placement":""', '"placement":1'), "STORE_INVALID"],
    ["roots/r0/root.json", ROOT_JSON.replace("active", "retired"), "STORE_CONFLICT"],
    ["roots/r0/root.json", "[", "STORE_INVALID"],
  ])("a store is refused whose %s is %s", async (file, text, code) => {
    await open();
    await writeFile(join(path, file), text);
    expect(await codeOf(DirectoryStore.open(path, { create: true }))).toBe(code);
  });

  test("a retired root is read and not written", async () => {
    const { name, sealed } = madeChunk(1);
    const before = await open();
    await before.putChunk(name, sealed);
    const manifestId = await before.putManifest(CUSTOMER, MANIFEST);
    await before.putRef(CUSTOMER, "app", manifestId);
    await writeFile(join(path, "roots/r0/root.json"), ROOT_JSON.replace("active", "retired"));
    for (const name of ["chunks", "manifests", "refs", "tmp"]) {
      await mkdir(join(path, "roots/r1", name), { recursive: true });
    }
    await writeFile(join(path, "roots/r1/root.json"), ROOT_JSON.replace('"r0"', '"r1"'));
    const after = await open();
    expect(after.activeRoot().rootId).toBe("r1");
    expect(chunkNameOf(await after.getChunk(name))).toBe(name);
    expect(await after.getRef(CUSTOMER, "app")).toBe(manifestId);
    expect(await after.listManifests(CUSTOMER)).toEqual([manifestId]);
    expect(await after.putChunk(name, sealed)).toBe("stored");
    await after.putRef(CUSTOMER, "app", manifestId);
    expect(await after.listRefs(CUSTOMER)).toHaveLength(1);
  });
});

describe("damage", () => {
  test.each([0, 1000, CHUNK_BYTES + 1])(
    "a chunk of %d bytes is corrupt, absent to a put, and replaced",
    async (size) => {
      const store = await open();
      const { name, sealed } = madeChunk(1);
      await store.putChunk(name, sealed);
      await truncate(chunkPath(join(path, "roots/r0/chunks"), name), size);
      expect(await codeOf(store.getChunk(name))).toBe("CHUNK_CORRUPT");
      expect(await store.hasChunk(name)).toBe(false);
      expect(await store.putChunk(name, sealed)).toBe("stored");
      expect(chunkNameOf(await store.getChunk(name))).toBe(name);
    },
  );

  test("a directory in a chunk's place is invalid", async () => {
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await mkdir(chunkPath(join(path, "roots/r0/chunks"), name), { recursive: true });
    expect(await codeOf(store.getChunk(name))).toBe("STORE_INVALID");
    expect(await store.hasChunk(name)).toBe(false);
    expect(await codeOf(store.putChunk(name, sealed))).toBe("STORE_INVALID");
  });

  test("a manifest whose bytes changed is a mismatch, and a put heals it", async () => {
    const store = await open();
    const id = await store.putManifest(CUSTOMER, MANIFEST);
    await truncate(join(path, "roots/r0/manifests", CUSTOMER, digestHex(id)), 10);
    expect(await codeOf(store.getManifest(CUSTOMER, id))).toBe("DIGEST_MISMATCH");
    expect(await codeOf(store.putRef(CUSTOMER, "app", id))).toBe("DIGEST_MISMATCH");
    await store.putManifest(CUSTOMER, MANIFEST);
    expect(await store.getManifest(CUSTOMER, id)).toEqual(MANIFEST);
  });

  test.each(["", "{}", '{"image":"app"}', '{"image":"other","manifest":"sha256:"}', "null", "{"])(
    "a ref that is %j is invalid",
    async (text) => {
      const store = await open();
      await mkdir(join(path, "roots/r0/refs", CUSTOMER));
      await writeFile(join(path, "roots/r0/refs", CUSTOMER, "app"), text);
      expect(await codeOf(store.getRef(CUSTOMER, "app"))).toBe("STORE_INVALID");
      expect(await store.listRefs(CUSTOMER)).toMatchObject([
        { imageName: "app", error: { code: "STORE_INVALID" } },
      ]);
      expect(await store.removeRef(CUSTOMER, "app")).toBe(true);
    },
  );

  test("a ref under another image's file name is invalid", async () => {
    const store = await open();
    await store.putRef(CUSTOMER, "app", await store.putManifest(CUSTOMER, MANIFEST));
    const refs = join(path, "roots/r0/refs", CUSTOMER);
    await rename(join(refs, "app"), join(refs, "other"));
    expect(await codeOf(store.getRef(CUSTOMER, "other"))).toBe("STORE_INVALID");
  });

  test("other files among manifests are passed over", async () => {
    const store = await open();
    const id = await store.putManifest(CUSTOMER, MANIFEST);
    await writeFile(join(path, "roots/r0/manifests", CUSTOMER, "README"), "");
    expect(await store.listManifests(CUSTOMER)).toEqual([id]);
  });

  test("a record is where the format says, beside none that is half written", async () => {
    const store = await open();
    await store.putRecord(RECORD, Uint8Array.of(1, 2));
    await store.putRecord({ ...RECORD, kind: "conversions" }, Uint8Array.of(3));
    const file = join(path, "roots/r0/segments", CUSTOMER, RECORD.name);
    expect([...(await readFile(file))]).toEqual([1, 2]);
    expect(await readdir(join(path, "roots/r0/conversions", CUSTOMER))).toEqual([RECORD.name]);
    for (const session of await readdir(join(path, "roots/r0/tmp")))
      expect(await readdir(join(path, "roots/r0/tmp", session))).toEqual([]);
  });

  test("a record is given as it is found, up to the limit; what is larger or no file is none", async () => {
    const store = await open();
    await store.putRecord(RECORD, new Uint8Array(100));
    const file = join(path, "roots/r0/segments", CUSTOMER, RECORD.name);
    await truncate(file, 7);
    expect(await store.getRecord(RECORD)).toEqual(new Uint8Array(7));
    await truncate(file, RECORD_BYTES_MAX + 1);
    expect(await store.getRecord(RECORD)).toBeUndefined();
    await rm(file);
    await mkdir(file);
    expect(await store.getRecord(RECORD)).toBeUndefined();
    const trace = { ...RECORD, kind: "traces" } as const;
    await store.putRecord(trace, new Uint8Array(TRACE_BYTES_MAX));
    expect((await store.getRecord(trace))?.length).toBe(TRACE_BYTES_MAX);
    await store.putRecord(trace, new Uint8Array(TRACE_BYTES_MAX + 1));
    expect(await store.getRecord(trace)).toBeUndefined();
  });

  test("chunks that are cut short, or no files, are missing", async () => {
    const store = await open();
    const chunks = [1, 2, 3, 4].map(madeChunk);
    for (const { name, sealed } of chunks) await store.putChunk(name, sealed);
    const [, cut, directoryInPlace, gone] = chunks.map(({ name }) =>
      chunkPath(join(path, "roots/r0/chunks"), name),
    );
    await truncate(cut!, CHUNK_BYTES - 1);
    await rm(directoryInPlace!);
    await mkdir(directoryInPlace!);
    await rm(gone!);
    const names = chunks.map(({ name }) => name);
    expect(await store.missingChunks(names)).toEqual(new Set(names.slice(1)));
  });
});

describe("a store that is removed while it is open", () => {
  test("is not found by any call, and does not come back half", async () => {
    const store = await open();
    const { name, sealed } = madeChunk(1);
    await store.putChunk(name, sealed);
    const id = await store.putManifest(CUSTOMER, MANIFEST);
    await rm(path, { recursive: true });
    const calls: readonly (() => Promise<unknown>)[] = [
      () => store.getChunk(name),
      () => store.hasChunk(name),
      () => store.putChunk(name, sealed),
      () => store.getManifest(CUSTOMER, id),
      () => store.putManifest(CUSTOMER, MANIFEST),
      () => store.listManifests(CUSTOMER),
      () => store.getRef(CUSTOMER, "app"),
      () => store.putRef(CUSTOMER, "app", id),
      () => store.listRefs(CUSTOMER),
      () => store.removeRef(CUSTOMER, "app"),
      () => store.missingChunks([name]),
      () => store.getRecord(RECORD),
      () => store.putRecord(RECORD, new Uint8Array(5)),
    ];
    for (const call of calls) expect(await codeOf(call())).toBe("STORE_NOT_FOUND");
    expect(await codeOf(store.barrier([name]))).toMatch(/^STORE_(UNAVAILABLE|NOT_FOUND)$/);
    await store.close();
    expect(await readdir(directory)).toEqual([]);
  });
});

const canMount = ((): boolean => {
  const probe = spawnSync("unshare", ["-m", "true"]);
  return process.getuid?.() === 0 && probe.status === 0;
})();

describe.skipIf(!canMount)("on a disk of its own (needs root to mount)", () => {
  let mounted: string;

  beforeEach(async () => {
    mounted = join(directory, "disk");
    await mkdir(mounted);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", mounted]);
  });

  afterEach(() => {
    execFileSync("umount", ["-l", mounted]);
  });

  test("a mount point becomes a store; a full disk is full, nothing half stays, what was put is whole", async () => {
    const store = await open(mounted);
    const stored: string[] = [];
    let code = "";
    for (let seed = 0; seed < 8 && code === ""; seed++) {
      const { name, sealed } = madeChunk(seed);
      const outcome = await codeOf(store.putChunk(name, sealed));
      if (outcome === "no failure") stored.push(name);
      else code = outcome;
    }
    expect(code).toBe("STORE_FULL");
    const files = await readdir(join(mounted, "roots/r0"), { recursive: true, withFileTypes: true });
    const chunks = files
      .filter((file) => file.isFile() && file.name !== "root.json")
      .map((file) => file.name);
    expect(chunks.sort((left, right) => (left < right ? -1 : 1))).toEqual(
      [...stored].sort((left, right) => (left < right ? -1 : 1)),
    );
    expect(chunks.length).toBeGreaterThan(2);
  });

  test("a store that is mounted read-only is read and refuses to be written", async () => {
    const { name, sealed } = madeChunk(1);
    const before = await open(mounted);
    await before.putChunk(name, sealed);
    await before.putRef(CUSTOMER, "app", await before.putManifest(CUSTOMER, MANIFEST));
    for (const store of opened.splice(0)) await store.close();
    execFileSync("mount", ["-o", "remount,ro", mounted]);
    const store = await open(mounted);
    const other = madeChunk(2);
    expect(chunkNameOf(await store.getChunk(name))).toBe(name);
    expect(await store.putChunk(name, sealed)).toBe("present");
    expect(await codeOf(store.putChunk(other.name, other.sealed))).toBe("STORE_FORBIDDEN");
    expect(await codeOf(store.putManifest(CUSTOMER, sealManifest(sampleContent(1), KEY)))).toBe(
      "STORE_FORBIDDEN",
    );
    expect(await codeOf(store.removeRef(CUSTOMER, "app"))).toBe("STORE_FORBIDDEN");
    expect(await codeOf(DirectoryStore.open(join(mounted, "new"), { create: true }))).toBe("STORE_FORBIDDEN");
  });
});

describe.skipIf(process.getuid?.() === 0)("without permission (not as root)", () => {
  test("a store is forbidden that cannot be entered or made", async () => {
    await open();
    await chmod(path, 0o000);
    expect(await codeOf(DirectoryStore.open(path, { create: false }))).toBe("STORE_FORBIDDEN");
    await chmod(path, 0o700);
    await chmod(directory, 0o500);
    expect(await codeOf(DirectoryStore.open(join(directory, "new"), { create: true }))).toBe(
      "STORE_FORBIDDEN",
    );
    await chmod(directory, 0o700);
  });
});
