import { readFileSync } from "node:fs";

import { beforeEach, describe, expect, test } from "vitest";

import { TRACE_CHUNK_COUNT_MAX } from "../../src/base/limit.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";
import { parseManifestId } from "../../src/manifest/manifest-id.ts";
import { ImageTraces, TraceRecorder } from "../../src/serve/image-trace.ts";
import type { RecordPlace } from "../../src/store/store.ts";
import vectors from "../../fixtures/vectors/trace.json" with { type: "json" };
import { codeOf } from "../support/code-of.ts";
import { hex, join, unhex, utf8 } from "../support/noble.ts";
import { sealRecordWithNoble, varint } from "../support/noble-record.ts";

const KEYRING = keyringOf(asCustomerKey(unhex(vectors.customerKey)));
const OTHER_KEYRING = keyringOf(asCustomerKey(new Uint8Array(32).fill(1)));
const MANIFEST_ID = parseManifestId(vectors.manifestId)!;
const OTHER_ID = parseManifestId(`sha256:${"7".repeat(64)}`)!;
const VECTOR = vectors.traces[1]!;
const TABLE = {
  diskChunkCount: 1000,
  indexes: Uint32Array.from({ length: 1000 }, (_, index) => index),
  names: new Uint8Array(32 * 1000),
};

/** A store of records in memory. */
class Records {
  readonly kept = new Map<string, Uint8Array>();
  #key = ({ kind, customerId, name }: RecordPlace): string => `${kind} ${customerId} ${name}`;

  getRecord(place: RecordPlace): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.kept.get(this.#key(place)));
  }

  putRecord(place: RecordPlace, bytes: Uint8Array): Promise<void> {
    this.kept.set(this.#key(place), Uint8Array.from(bytes));
    return Promise.resolve();
  }
}

let records: Records;
let traces: ImageTraces;
beforeEach(() => {
  records = new Records();
  traces = new ImageTraces(records, KEYRING);
});

test("what is kept for an image is found for it, and for no other image and customer", async () => {
  expect(await traces.find(MANIFEST_ID, TABLE)).toBeUndefined();
  await traces.keep(MANIFEST_ID, [3, 1, 2]);
  expect(await traces.find(MANIFEST_ID, TABLE)).toEqual([3, 1, 2]);
  await traces.keep(MANIFEST_ID, [9]);
  expect(await traces.find(MANIFEST_ID, TABLE)).toEqual([9]);
  expect(await traces.find(OTHER_ID, TABLE)).toBeUndefined();
  expect(await new ImageTraces(records, OTHER_KEYRING).find(MANIFEST_ID, TABLE)).toBeUndefined();
  expect(records.kept.size).toBe(1);
});

test("a trace that is damaged, of another image, or for other chunks is refused", async () => {
  await traces.keep(MANIFEST_ID, [3, 1, 2]);
  await traces.keep(OTHER_ID, [4]);
  const [place, otherPlace] = [...records.kept.keys()] as [string, string];
  const good = records.kept.get(place)!;
  for (const bad of [
    new Uint8Array(0),
    good.subarray(1),
    good.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
    records.kept.get(otherPlace)!,
  ]) {
    records.kept.set(place, bad);
    expect(await codeOf(traces.find(MANIFEST_ID, TABLE))).toBe("STORE_INVALID");
  }
  records.kept.set(place, good);
  const smaller = { ...TABLE, indexes: TABLE.indexes.subarray(0, 3) };
  expect(await codeOf(traces.find(MANIFEST_ID, smaller))).toBe("STORE_INVALID");
});

describe.each(vectors.traces)(
  "the vector of $chunkIndexes",
  ({ chunkIndexes, secrets, contentMac, record }) => {
    test("is what noble computes", () => {
      const signed = (value: number): Uint8Array => join(varint(value < 0 ? 1 : 0), varint(Math.abs(value)));
      const steps = chunkIndexes.map((chunkIndex, at) => signed(chunkIndex - (chunkIndexes[at - 1] ?? 0)));
      const text = (words: string): Uint8Array => join(varint(words.length), utf8(words));
      const noble = sealRecordWithNoble({
        customerKey: unhex(vectors.customerKey),
        identity: join(text("trace"), text(vectors.manifestId)),
        clear: new Uint8Array(0),
        secrets: join(varint(1), varint(chunkIndexes.length), ...steps),
      });
      expect(hex(join(varint(1), varint(chunkIndexes.length), ...steps))).toBe(secrets);
      expect([noble.name, hex(noble.contentMac), hex(noble.bytes)]).toEqual([
        vectors.recordName,
        contentMac,
        record,
      ]);
    });

    test("is what we keep", async () => {
      await traces.keep(MANIFEST_ID, chunkIndexes);
      expect([...records.kept]).toEqual([
        [`traces ${KEYRING.customerId} ${vectors.recordName}`, Uint8Array.from(unhex(record))],
      ]);
    });

    test("stands on the page of the format", () => {
      const page = readFileSync(new URL("../../docs/format/trace.md", import.meta.url), "utf8");
      expect(page).toContain(
        `| ${chunkIndexes.join(", ")} | ${secrets} | ${record.length / 2} | ${contentMac} |`,
      );
      expect(page).toContain(vectors.recordName);
    });
  },
);

test("the example of the page is a vector", () => {
  expect(VECTOR.chunkIndexes).toEqual([0, 1, 2, 700, 3, 699]);
});

describe("a recorder", () => {
  test("has chunks in the order of their first reads, and gives them when there are more", () => {
    const recorder = new TraceRecorder();
    expect(recorder.take()).toBeUndefined();
    for (const chunkIndex of [5, 1, 5, 9]) recorder.visited(chunkIndex);
    expect([recorder.take(), recorder.take()]).toEqual([[5, 1, 9], undefined]);
    recorder.visited(1);
    expect(recorder.take()).toBeUndefined();
    recorder.visited(0);
    expect(recorder.take()).toEqual([5, 1, 9, 0]);
  });

  test("stops at its bound", () => {
    const recorder = new TraceRecorder();
    for (let chunkIndex = 0; chunkIndex <= TRACE_CHUNK_COUNT_MAX; chunkIndex++) recorder.visited(chunkIndex);
    expect(recorder.take()?.length).toBe(TRACE_CHUNK_COUNT_MAX);
  });
});
