import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { PlacedBody } from "../../src/segment/file-place.ts";
import { EntryPacker, PackedEntries } from "../../src/segment/packed-entries.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { layerEntry } from "../support/layer-entry.ts";
import { pack, plainOf } from "./_unpack.ts";

const entry = (path: string, fields: Partial<LayerEntry> = {}): LayerEntry =>
  layerEntry(path, { type: "fifo", mtime: { seconds: 7, nanoseconds: 0 }, ...fields });

const xattrs = (...pairs: readonly (readonly [string, number])[]): LayerEntry["xattrs"] =>
  new Map(pairs.map(([name, value]) => [asByteString(name), Uint8Array.of(value)]));

describe("PackedEntries", () => {
  test("can be gone through twice at once, and say how many they are", () => {
    const entries = [entry("d/a"), entry("d/b", { uid: 3 }), entry("e")];
    const packed = pack(entries);
    const second = packed[Symbol.iterator]();
    for (const found of packed) expect(found).toEqual(second.next().value);
    expect([...packed]).toEqual(entries);
    expect(packed).toHaveLength(3);
  });

  test("none take no bytes", () => {
    expect([pack([]).bytes.length, [...pack([])]]).toEqual([0, []]);
  });

  test("a body that is placed later is packed where it belongs", () => {
    const place = (path: string): { body: PlacedBody; entry: LayerEntry } => {
      const body = new PlacedBody(8192);
      return { body, entry: entry(path, { type: "file", body }) };
    };
    const [first, second, third] = [place("a/1"), place("a/2"), place("b")];
    const packer = new EntryPacker();
    packer.addUnplaced(first.entry);
    packer.addUnplaced(entry("a/none"));
    packer.add(entry("a/x"));
    second.body.place([{ fileBlock: 0, segmentBlock: 5, blockCount: 2 }]);
    packer.add(second.entry);
    packer.addUnplaced(third.entry);
    first.body.place([{ fileBlock: 0, segmentBlock: 300, blockCount: 2 }]);
    third.body.place([{ fileBlock: 1, segmentBlock: 7, blockCount: 1 }]);
    const packed = packer.finish();
    const all = [first.entry, entry("a/none"), entry("a/x"), second.entry, third.entry];
    expect(Array.from(packed, plainOf)).toEqual(all.map(plainOf));
    expect(packed.bytes).toEqual(pack(all).bytes);
  });

  test("a path takes the bytes that the one before has not", () => {
    const folder = "a-folder-with-a-long-name/".repeat(20);
    const [one, two] = [pack([entry(`${folder}1`)]), pack([entry(`${folder}1`), entry(`${folder}2`)])];
    expect(two.bytes.length - one.bytes.length).toBeLessThan(20);
  });

  test("a body of many runs, of one and of none is unpacked", () => {
    const bodies = [0, 1, 2].map((count) => ({
      sizeBytes: 4096 * count,
      runs: Array.from({ length: count }, (_, i) => ({ fileBlock: i, segmentBlock: 9 * i, blockCount: 1 })),
    }));
    const entries = bodies.map((body, i) => entry(`f${i}`, { type: "file", body }));
    expect(Array.from(pack(entries), plainOf)).toEqual(entries);
  });

  test("neighbours of one time share its object, others do not", () => {
    const times = [1, 1, 2, 2, 1].map((seconds) => ({ seconds, nanoseconds: 5 }));
    const [a, b, c, d, e] = Array.from(
      pack(times.map((mtime) => entry("f", { mtime }))),
      ({ mtime }) => mtime,
    );
    expect([a === b, b === c, c === d, d === e]).toEqual([true, false, true, false]);
    expect([a, b, c, d, e]).toEqual(times);
  });

  test.each<[string, LayerEntry["xattrs"], boolean]>([
    ["equal ones", xattrs(["user.a", 1], ["user.b", 2]), true],
    ["another order", xattrs(["user.b", 2], ["user.a", 1]), false],
    ["another value", xattrs(["user.a", 1], ["user.b", 3]), false],
    ["another name", xattrs(["user.a", 1], ["user.c", 2]), false],
    ["fewer", xattrs(["user.a", 1]), false],
    ["an empty list", xattrs(), false],
    ["none", undefined, false],
  ])("neighbours share attributes only where these are equal: %s", (_, second, isShared) => {
    const first = xattrs(["user.a", 1], ["user.b", 2]);
    const found = Array.from(
      pack([entry("a", { xattrs: first }), entry("b", { xattrs: second })]),
      (each) => each.xattrs,
    );
    expect(found.map((each) => each && [...each])).toEqual([first, second].map((each) => each && [...each]));
    expect(found[0] === found[1]).toBe(isShared);
  });

  test("have the outline of all of them, also when they are read", () => {
    const packed = pack([entry("d", { type: "dir" }), entry("d/a"), entry("l", { type: "hardlink" })]);
    const outline = { slots: Int32Array.of(0, 0, -1), files: 1, directories: 1, hasWhiteouts: false };
    expect(packed.outline).toEqual(outline);
    expect(PackedEntries.read(packed.length, packed.bytes).outline).toEqual(outline);
  });

  test.each<[string, (packed: PackedEntries) => [number, Uint8Array]]>([
    ["fewer bytes", ({ length, bytes }) => [length, bytes.subarray(0, -1)]],
    ["more entries", ({ length, bytes }) => [length + 1, bytes]],
    ["fewer entries", ({ length, bytes }) => [length - 1, bytes]],
  ])("are not read with %s than were packed", (_, change) => {
    const packed = pack([entry("a"), entry("b")]);
    expect([...PackedEntries.read(packed.length, packed.bytes)]).toEqual([...packed]);
    expect(() => PackedEntries.read(...change(packed))).toThrow(
      expect.objectContaining({ code: "STORE_INVALID" }),
    );
  });
});
