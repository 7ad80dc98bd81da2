/** What every store keeps of the contract in src/store/store.ts; run it for each implementation and decorator. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { sha256Digest } from "../../src/base/digest.ts";
import { IMAGE_NAME_BYTES_MAX } from "../../src/base/limit.ts";
import { CHUNK_BYTES, chunkNameAt, chunkNameOf, type ChunkName } from "../../src/chunk/chunk.ts";
import { asCustomerKey, customerIdOf } from "../../src/crypto/customer-key.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { parseManifestId } from "../../src/manifest/manifest-id.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import type { RecordPlace, Store } from "../../src/store/store.ts";
import { codeOf } from "../support/code-of.ts";
import { sampleContent } from "../support/manifest-sample.ts";

export { codeOf };

/** A place for a store: opening it again shows what is there. */
export interface StorePlace {
  open(): Promise<Store>;
  remove(): Promise<void>;
}

/** Bytes of a chunk and its name. */
export function madeChunk(seed: number): { readonly name: ChunkName; readonly sealed: Uint8Array } {
  const sealed = new Uint8Array(CHUNK_BYTES).fill(seed);
  sealed[0] = seed >>> 8;
  return { name: chunkNameOf(sealed), sealed };
}

const KEY = asCustomerKey(new Uint8Array(32).fill(1));
const CUSTOMER = customerIdOf(KEY);
const OTHER_CUSTOMER = customerIdOf(asCustomerKey(new Uint8Array(32).fill(2)));
const NO_MANIFEST = parseManifestId(`sha256:${"0".repeat(64)}`)!;
const NO_CHUNK = chunkNameAt(new Uint8Array(32), 0);
const RECORD_NAME = parseRecordName("5".repeat(64))!;
const RECORD: RecordPlace = { kind: "segments", customerId: CUSTOMER, name: RECORD_NAME };
const manifestBytes = (storedCount: number): Uint8Array => sealManifest(sampleContent(storedCount), KEY);

/** Runs the suite on the places that `make` gives. */
export function storeContract(label: string, make: () => Promise<StorePlace>): void {
  describe(`${label} keeps the contract of a store:`, () => {
    let place: StorePlace;
    let store: Store;

    beforeEach(async () => {
      place = await make();
      store = await place.open();
    });

    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    /** The store as a process sees it that comes later. */
    async function reopened(): Promise<Store> {
      await store.close();
      store = await place.open();
      return store;
    }

    test("its active root is active, and the same when it is opened again", async () => {
      const root = store.activeRoot();
      expect(root.state).toBe("active");
      expect(root.saltParameters.rootId).toBe(root.rootId);
      expect((await reopened()).activeRoot()).toEqual(root);
    });

    test("a chunk is stored once, and comes back", async () => {
      const { name, sealed } = madeChunk(1);
      expect(await store.hasChunk(name)).toBe(false);
      expect(await store.putChunk(name, sealed)).toBe("stored");
      expect(await store.putChunk(name, sealed)).toBe("present");
      expect(await store.hasChunk(name)).toBe(true);
      await store.barrier();
      const found = await (await reopened()).getChunk(name);
      expect(Buffer.compare(found, sealed)).toBe(0);
      expect(await store.putChunk(name, sealed)).toBe("present");
    });

    test("what is put is not kept, what is got is the caller's", async () => {
      const { name, sealed } = madeChunk(1);
      const given = Uint8Array.from(sealed);
      await store.putChunk(name, given);
      given.fill(0);
      (await store.getChunk(name)).fill(0);
      expect(Buffer.compare(await store.getChunk(name), sealed)).toBe(0);
    });

    test("a chunk in shared memory or in the middle of larger memory is stored alike", async () => {
      const { name, sealed } = madeChunk(3);
      const shared = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES + 9), 5, CHUNK_BYTES);
      shared.set(sealed);
      await store.putChunk(name, shared);
      expect(chunkNameOf(await store.getChunk(name))).toBe(name);
    });

    test("many puts of few chunks at once leave each chunk whole", async () => {
      const chunks = Array.from({ length: 24 }, (_, index) => madeChunk(index % 4));
      const outcomes = await Promise.all(chunks.map(({ name, sealed }) => store.putChunk(name, sealed)));
      expect(outcomes.filter((outcome) => outcome === "stored").length).toBeGreaterThanOrEqual(4);
      await store.barrier();
      for (const { name } of chunks.slice(0, 4)) expect(chunkNameOf(await store.getChunk(name))).toBe(name);
    });

    test("a chunk that is not there is not found", async () => {
      expect(await codeOf(store.getChunk(NO_CHUNK))).toBe("CHUNK_NOT_FOUND");
      expect(await store.hasChunk(NO_CHUNK)).toBe(false);
    });

    test("chunks that are missing are told from those that are there", async () => {
      const [first, second] = [madeChunk(1), madeChunk(2)];
      await store.putChunk(first.name, first.sealed);
      await store.barrier();
      const asked = [second.name, first.name, NO_CHUNK, second.name];
      expect(await store.missingChunks(asked)).toEqual(new Set([second.name, NO_CHUNK]));
      await store.putChunk(second.name, second.sealed);
      expect(await (await reopened()).missingChunks(asked)).toEqual(new Set([NO_CHUNK]));
      expect(await store.missingChunks([])).toEqual(new Set());
    });

    test("a chunk of another size is a bug of the caller", async () => {
      await expect(store.putChunk(NO_CHUNK, new Uint8Array(CHUNK_BYTES - 1))).rejects.toThrow("512 KiB");
    });

    test("a barrier with nothing to do passes, and can be repeated", async () => {
      await store.barrier();
      await store.barrier([]);
      const { name, sealed } = madeChunk(1);
      await store.putChunk(name, sealed);
      await store.barrier([name]);
      await store.barrier();
    });

    test("a manifest is stored under its digest, and comes back", async () => {
      const bytes = manifestBytes(2);
      const id = await store.putManifest(CUSTOMER, bytes);
      expect(id).toBe(sha256Digest(bytes));
      expect(await store.putManifest(CUSTOMER, bytes)).toBe(id);
      expect(await (await reopened()).getManifest(CUSTOMER, id)).toEqual(bytes);
      expect(await store.listManifests(CUSTOMER)).toEqual([id]);
    });

    test("manifests are listed in byte order, and each customer has its own", async () => {
      const ids = [];
      for (let count = 0; count < 8; count++)
        ids.push(await store.putManifest(CUSTOMER, manifestBytes(count)));
      expect(await store.listManifests(CUSTOMER)).toEqual(
        [...ids].sort((left, right) => (left < right ? -1 : 1)),
      );
      expect(await store.listManifests(OTHER_CUSTOMER)).toEqual([]);
      expect(await codeOf(store.getManifest(OTHER_CUSTOMER, ids[0]!))).toBe("MANIFEST_NOT_FOUND");
    });

    test("what is no manifest is refused and not stored", async () => {
      expect(await codeOf(store.putManifest(CUSTOMER, new Uint8Array(100)))).toBe("MANIFEST_INVALID");
      expect(await codeOf(store.putManifest(CUSTOMER, manifestBytes(2).subarray(0, -1)))).toBe(
        "MANIFEST_INVALID",
      );
      expect(await store.listManifests(CUSTOMER)).toEqual([]);
    });

    test("a record comes back as it was put, and is replaced by one of its name", async () => {
      expect(await store.getRecord(RECORD)).toBeUndefined();
      const given = Uint8Array.from([1, 2, 3]);
      await store.putRecord(RECORD, given);
      given.fill(0);
      expect(await store.getRecord(RECORD)).toEqual(Uint8Array.from([1, 2, 3]));
      (await store.getRecord(RECORD))?.fill(0);
      expect(await store.getRecord(RECORD)).toEqual(Uint8Array.from([1, 2, 3]));
      await store.putRecord(RECORD, new Uint8Array(700_000).fill(4));
      const found = (await (await reopened()).getRecord(RECORD)) ?? new Uint8Array(0);
      expect(Buffer.compare(found, new Uint8Array(700_000).fill(4))).toBe(0);
      await store.putRecord(RECORD, new Uint8Array(0));
      expect(await store.getRecord(RECORD)).toEqual(new Uint8Array(0));
    });

    test("records are apart by kind, customer and name", async () => {
      const places: RecordPlace[] = [
        RECORD,
        { ...RECORD, kind: "conversions" },
        { ...RECORD, kind: "traces" },
        { ...RECORD, customerId: OTHER_CUSTOMER },
        { ...RECORD, name: parseRecordName("6".repeat(64))! },
      ];
      for (const [i, place] of places.entries()) await store.putRecord(place, Uint8Array.of(i));
      for (const [i, place] of places.entries())
        expect(await store.getRecord(place)).toEqual(Uint8Array.of(i));
    });

    test("many puts of one record at once leave it whole", async () => {
      const records = Array.from({ length: 16 }, (_, i) => new Uint8Array(100_000).fill(i));
      await Promise.all(records.map((bytes) => store.putRecord(RECORD, bytes)));
      const found = (await store.getRecord(RECORD)) ?? new Uint8Array(1);
      expect(new Set(found).size).toBe(1);
      expect(found.length).toBe(100_000);
    });

    test("a ref stands for the manifest it was last put with", async () => {
      const first = await store.putManifest(CUSTOMER, manifestBytes(1));
      const second = await store.putManifest(CUSTOMER, manifestBytes(2));
      await store.putRef(CUSTOMER, "registry.example/app:1", first);
      expect(await store.getRef(CUSTOMER, "registry.example/app:1")).toBe(first);
      await store.putRef(CUSTOMER, "registry.example/app:1", second);
      expect(await (await reopened()).getRef(CUSTOMER, "registry.example/app:1")).toBe(second);
      expect(await codeOf(store.getRef(OTHER_CUSTOMER, "registry.example/app:1"))).toBe("IMAGE_NOT_FOUND");
      expect(await codeOf(store.getRef(CUSTOMER, "registry.example/app:2"))).toBe("IMAGE_NOT_FOUND");
    });

    test("a ref to a manifest that is not there is refused", async () => {
      expect(await codeOf(store.putRef(CUSTOMER, "app", NO_MANIFEST))).toBe("MANIFEST_NOT_FOUND");
      expect(await store.listRefs(CUSTOMER)).toEqual([]);
    });

    test("refs of any names are listed in byte order and removed one by one", async () => {
      const manifestId = await store.putManifest(CUSTOMER, manifestBytes(1));
      const longest = "x".repeat(IMAGE_NAME_BYTES_MAX);
      const names = [
        "a",
        "A",
        "a/b:c@sha256:0",
        "..",
        ".",
        "%2f",
        "/",
        "CON",
        "\uff61",
        "\u{1f980}",
        longest,
      ];
      for (const name of names) await store.putRef(CUSTOMER, name, manifestId);
      const expected = [...names].sort((left, right) =>
        Buffer.compare(Buffer.from(left), Buffer.from(right)),
      );
      expect((await store.listRefs(CUSTOMER)).map((ref) => ref.imageName)).toEqual(expected);
      for (const name of names) {
        expect(await store.getRef(CUSTOMER, name)).toBe(manifestId);
        expect(await store.removeRef(CUSTOMER, name)).toBe(true);
        expect(await store.removeRef(CUSTOMER, name)).toBe(false);
        expect(await codeOf(store.getRef(CUSTOMER, name))).toBe("IMAGE_NOT_FOUND");
      }
      expect(await store.listRefs(CUSTOMER)).toEqual([]);
      expect(await store.listManifests(CUSTOMER)).toEqual([manifestId]);
    });

    test.each([
      ["empty", ""],
      ["too long", "x".repeat(IMAGE_NAME_BYTES_MAX + 1)],
      ["too long in bytes", "\u{1f980}".repeat(IMAGE_NAME_BYTES_MAX / 4 + 1)],
      ["with a line end", "a\nb"],
      ["with a NUL", "a\0b"],
      ["not well-formed", "\ud800"],
    ])("an image name is refused that is %s", async (_, name) => {
      const manifestId = await store.putManifest(CUSTOMER, manifestBytes(1));
      expect(await codeOf(store.putRef(CUSTOMER, name, manifestId))).toBe("REFERENCE_INVALID");
      expect(await codeOf(store.getRef(CUSTOMER, name))).toBe("REFERENCE_INVALID");
      expect(await codeOf(store.removeRef(CUSTOMER, name))).toBe("REFERENCE_INVALID");
    });

    test("it can be closed twice", async () => {
      await store.close();
      await store.close();
    });
  });
}
