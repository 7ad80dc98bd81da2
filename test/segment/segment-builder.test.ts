import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { ENTRY_BYTES, FILE_BYTES_MAX } from "../../src/base/limit.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { EntryBudget, SegmentBuilder } from "../../src/segment/segment-builder.ts";
import type { TarEntry } from "../../src/tar/entry.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { bodyBytes, makeSegment, sinkOf } from "../support/layer-tree.ts";
import { tarBuilder, type SparseForm } from "../support/tar-builder.ts";
import { anyLayer } from "./_any-layer.ts";
import { naiveSegment } from "./_naive-segment.ts";
import { cuttingPath, QUIET } from "./_paths.ts";
import { makeUnpacked } from "./_unpack.ts";

const BLOCK = 4096;

function entry(fields: Partial<TarEntry>): TarEntry {
  return {
    path: asByteString("f"),
    type: "file",
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    sizeBytes: 0,
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
    sparseRegions: undefined,
    ...fields,
  };
}

describe("SegmentBuilder", () => {
  test("without bodies there are no chunks, and the entries are all there in order", () => {
    const tar = tarBuilder()
      .dir("d/")
      .file("d/a")
      .symlink("s", "t")
      .hardlink("h", "d/a")
      .fifo("p")
      .device("c", "char", { devmajor: 1, devminor: 3 })
      .end();
    const { chunkCount, chunks, entries } = makeUnpacked(tar);
    expect([chunkCount, chunks]).toEqual([0, []]);
    expect(entries.map(({ path, type, body }) => [path, type, body?.runs])).toEqual([
      ["d/", "dir", undefined],
      ["d/a", "file", []],
      ["s", "symlink", undefined],
      ["h", "hardlink", undefined],
      ["p", "fifo", undefined],
      ["c", "char", undefined],
    ]);
    expect(entries.at(-1)).toMatchObject({ deviceMajor: 1, deviceMinor: 3 });
    expect(entries[2]?.linkTarget).toBe("t");
  });

  test("entries keep their order while some wait for the places of a body", () => {
    const body = "x".repeat(5 * BLOCK);
    const tar = tarBuilder().file(QUIET[0]!, body).file("empty").dir("d/").file(QUIET[1]!, body);
    tar.file(cuttingPath(5), body).symlink("s", "t").file("none");
    const { entries } = makeUnpacked(tar.end());
    expect(entries.map(({ path, body }) => [path, body?.runs[0]?.segmentBlock])).toEqual([
      [QUIET[0], 0],
      ["empty", undefined],
      ["d/", undefined],
      [QUIET[1], 5],
      [cuttingPath(5), 16],
      ["s", undefined],
      ["none", undefined],
    ]);
  });

  test.each([0, 500, 3000])("entries keep their order when %i come behind one that waits", (count) => {
    const tar = tarBuilder().file("empty").file("var/state", "x".repeat(5000)).dir("d/");
    for (let i = 0; i < count; i++) tar.symlink(`d/${i}`, "t");
    tar.file("var/log", "y").file(QUIET[0]!, "z");
    const { entries, chunks } = makeUnpacked(tar.end());
    expect(entries).toHaveLength(count + 5);
    expect(entries.slice(0, 3).map(({ path }) => path)).toEqual(["empty", "var/state", "d/"]);
    for (let i = 0; i < count; i++) expect(entries[i + 3]?.path).toBe(`d/${i}`);
    const [state, log, last] = [entries[1], entries.at(-2), entries.at(-1)];
    expect([state, log, last].map((entry) => entry?.body?.runs)).toEqual([
      [{ fileBlock: 0, segmentBlock: 8, blockCount: 2 }],
      [{ fileBlock: 0, segmentBlock: 10, blockCount: 1 }],
      [{ fileBlock: 0, segmentBlock: 0, blockCount: 1 }],
    ]);
    expect(bodyBytes(state!.body!, chunks)).toEqual(new Uint8Array(5000).fill(120));
  });

  test("each body starts on a block; what is between bodies is zero", () => {
    const [one, two] = [QUIET[0]!, QUIET[1]!];
    const { chunks, entries } = makeUnpacked(
      tarBuilder()
        .file(one, "a")
        .file(two, "b".repeat(BLOCK + 1))
        .end(),
    );
    expect(entries.map(({ body }) => body?.runs)).toEqual([
      [{ fileBlock: 0, segmentBlock: 0, blockCount: 1 }],
      [{ fileBlock: 0, segmentBlock: 1, blockCount: 2 }],
    ]);
    expect(chunks).toHaveLength(1);
    const expected = new Uint8Array(CHUNK_BYTES);
    expected[0] = 97;
    expected.fill(98, BLOCK, 2 * BLOCK + 1);
    expect(Buffer.compare(chunks[0]!, expected)).toBe(0);
  });

  test("an empty file never makes a cut", () => {
    const tar = tarBuilder().file(QUIET[0]!, "x");
    for (let i = 0; i < 3000; i++) tar.file(`e${i}`);
    expect(makeUnpacked(tar.end()).chunkCount).toBe(1);
  });

  test("gives each entry in order, with the body that it packs", () => {
    // The small file first waits for its chunk until the layer ends, longer than entries do.
    const tar = tarBuilder().dir("d").file("d/first", "1").symlink("d/l", "first");
    for (let i = 0; i < 3000; i++) tar.file(`d/${i}`, i % 2 === 0 ? "x".repeat(5000) : "");
    const given: LayerEntry[] = [];
    const { entries } = makeSegment(tar.end(), 1000, (entry) => given.push(entry));
    const plain = (of: Iterable<LayerEntry>): unknown[] =>
      Array.from(of, (entry) => ({ ...entry, body: entry.body && [entry.body.sizeBytes, entry.body.runs] }));
    expect(plain(given)).toEqual(plain(entries));
    expect(given).toHaveLength(3003);
  });

  test("gives neighbours with equal attributes the same object", () => {
    const tar = tarBuilder();
    for (const value of ["1", "1", "2", "1"]) tar.pax([["SCHILY.xattr.user.a", value]]).file(`f${value}`);
    const given: LayerEntry["xattrs"][] = [];
    makeSegment(tar.file("none").end(), 512, ({ xattrs }) => given.push(xattrs));
    const [first, second, third, fourth, none] = given;
    expect(second).toBe(first);
    expect(third).not.toEqual(first);
    expect([fourth, none]).toEqual([first, undefined]);
  });

  test("regions that share a block, or lie side by side, become one run", () => {
    const builder = new SegmentBuilder(sinkOf(() => undefined));
    const regions = [
      { offsetBytes: 10, sizeBytes: 20 },
      { offsetBytes: 100, sizeBytes: 4000 },
      { offsetBytes: 2 * BLOCK, sizeBytes: 1 },
      { offsetBytes: 9 * BLOCK - 1, sizeBytes: 2 },
    ];
    builder.entry(entry({ path: asByteString(QUIET[0]!), sizeBytes: 100 * BLOCK, sparseRegions: regions }));
    for (const { sizeBytes } of regions) builder.body(new Uint8Array(sizeBytes).fill(7));
    builder.entryEnd();
    const [packed] = builder.finish().entries;
    const body = packed?.body;
    expect(body?.sizeBytes).toBe(100 * BLOCK);
    expect(body?.runs).toEqual([
      { fileBlock: 0, segmentBlock: 0, blockCount: 3 },
      { fileBlock: 8, segmentBlock: 3, blockCount: 2 },
    ]);
  });

  test.each<SparseForm>(["gnu", "pax-0.0", "pax-0.1", "pax-1.0"])("a sparse file in the form %s", (form) => {
    const parts = [
      { offset: 5000, bytes: "a".repeat(512) },
      { offset: 3 * CHUNK_BYTES + 1, bytes: "b".repeat(1024) },
    ];
    const tar = tarBuilder()
      .sparse(form, { path: "sparse", realSize: 4 * CHUNK_BYTES, parts })
      .end();
    const { chunks, entries } = makeUnpacked(tar);
    const expected = new Uint8Array(4 * CHUNK_BYTES);
    expected.fill(97, 5000, 5512);
    expected.fill(98, 3 * CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 1025);
    expect(chunks).toHaveLength(1);
    expect(Buffer.compare(bodyBytes(entries[0]!.body!, chunks), expected)).toBe(0);
  });

  test("chunks of a sparse file whose first bytes are those of a hole", () => {
    const parts = [
      { offset: 512, bytes: "a".repeat(CHUNK_BYTES - 1024) },
      { offset: 9 * CHUNK_BYTES + 1024, bytes: "b".repeat(CHUNK_BYTES - 1024) },
      { offset: 20 * CHUNK_BYTES + 2048, bytes: "c".repeat(3 * CHUNK_BYTES) },
    ];
    const realSize = 24 * CHUNK_BYTES;
    const { chunks, entries } = makeUnpacked(
      tarBuilder().sparse("pax-1.0", { path: "sparse", realSize, parts }).end(),
    );
    const expected = Buffer.alloc(realSize);
    for (const { offset, bytes } of parts) expected.write(bytes, offset);
    expect(chunks).toHaveLength(6);
    expect(Buffer.compare(bodyBytes(entries[0]!.body!, chunks), expected)).toBe(0);
  });

  test("how the tar is sliced does not matter", () => {
    const tar = tarBuilder();
    for (let i = 0; i < 12; i++) tar.file(`f${i}`, `${i}`.repeat(i * 977));
    tar.sparse("pax-1.0", {
      path: "s",
      realSize: 1e6,
      parts: [
        { offset: 4095, bytes: "x".repeat(512) },
        { offset: 70_000, bytes: "y" },
      ],
    });
    const bytes = tar.file("last", "z".repeat(CHUNK_BYTES + 1)).end();
    const whole = makeUnpacked(bytes);
    for (const pieceBytes of [1, 511, 512, 65_537]) {
      const { chunks, ...segment } = makeUnpacked(bytes, pieceBytes);
      expect(segment.entries).toEqual(whole.entries);
      expect(segment.entries.map(({ body }) => body?.runs)).toEqual(
        whole.entries.map(({ body }) => body?.runs),
      );
      expect(segment.chunkCount).toBe(whole.chunkCount);
      expect(chunks.every((chunk, i) => Buffer.compare(chunk, whole.chunks[i]!) === 0)).toBe(true);
    }
  });

  test("the pieces that come are not kept", () => {
    const given: Uint8Array[] = [];
    const builder = new SegmentBuilder(sinkOf((_, plain) => given.push(plain)));
    builder.entry(entry({ sizeBytes: 3 }));
    const piece = Uint8Array.of(1, 2, 3);
    builder.body(piece);
    piece.fill(9);
    builder.entryEnd();
    builder.finish();
    expect(given[0]?.subarray(0, 4)).toEqual(Uint8Array.of(1, 2, 3, 0));
  });

  test("agrees with a naive model on random files and regions", () => {
    fc.assert(
      fc.property(anyLayer, fc.integer({ min: 1000, max: 500_000 }), (files, pieceBytes) => {
        const chunks: Uint8Array[] = [];
        const builder = new SegmentBuilder(sinkOf((chunkIndex, plain) => (chunks[chunkIndex] = plain)));
        for (const { path, sizeBytes, regions, body } of files) {
          builder.entry(entry({ path: asByteString(path), sizeBytes, sparseRegions: regions }));
          for (let at = 0; at < body.length; at += pieceBytes)
            builder.body(body.subarray(at, at + pieceBytes));
          builder.entryEnd();
        }
        const { entries, chunkCount } = builder.finish();
        const naive = naiveSegment(files);
        const places = Array.from(entries, ({ body }) =>
          body!.runs.flatMap((run) =>
            Array.from({ length: run.blockCount }, (_, i) => [run.fileBlock + i, run.segmentBlock + i]),
          ),
        );
        // One file of thousands of blocks is enough to show: the difference of all takes long to print.
        const wrong = files.findIndex((_, i) => places[i]!.join() !== naive.places[i]!.join());
        expect([files[wrong]?.path, places[wrong]]).toEqual([files[wrong]?.path, naive.places[wrong]]);
        expect(chunkCount).toBe(chunks.length);
        expect(Buffer.compare(Buffer.concat(chunks), naive.bytes)).toBe(0);
      }),
      { numRuns: 100, seed: 7 },
    );
  });

  test("a file of the largest size is taken, one byte more is refused", () => {
    const take = (sizeBytes: number) => () => {
      new SegmentBuilder(sinkOf(() => undefined)).entry(entry({ sizeBytes, sparseRegions: [] }));
    };
    expect(take(FILE_BYTES_MAX)).not.toThrow();
    expect(take(FILE_BYTES_MAX + 1)).toThrow(
      expect.objectContaining({
        code: "FILE_TOO_LARGE",
        details: { limitBytes: FILE_BYTES_MAX, foundBytes: FILE_BYTES_MAX + 1 },
      }),
    );
  });

  test("bytes that no entry has are a bug of the parser's", () => {
    const builder = new SegmentBuilder(sinkOf(() => undefined));
    expect(() => {
      builder.body(new Uint8Array(1));
    }).toThrow("bytes came for an entry that has none");
    builder.entry(entry({ sizeBytes: 1 }));
    expect(() => {
      builder.body(new Uint8Array(2));
    }).toThrow("more bytes came");
  });
});

describe("EntryBudget", () => {
  const entry = (path: string): TarEntry => ({
    path: asByteString(path),
    type: "fifo",
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    sizeBytes: 0,
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map([[asByteString("user.a"), new Uint8Array(10)]]),
    sparseRegions: undefined,
  });
  const COST = ENTRY_BYTES + 1 + "user.a".length + 10;

  test("takes entries up to its size and refuses the next by name", () => {
    const budget = new EntryBudget(3 * COST);
    for (const path of ["a", "b", "c"]) budget.take(entry(path), 0);
    expect(() => {
      budget.take(entry("d"), 0);
    }).toThrow(
      expect.objectContaining({ code: "TREE_TOO_LARGE", message: expect.stringMatching(/^d: /) as string }),
    );
  });

  test("is shared by the builders that it is given to", () => {
    const budget = new EntryBudget(2 * COST);
    const sink = sinkOf(() => undefined);
    new SegmentBuilder(sink, budget).entry(entry("a"));
    new SegmentBuilder(sink, budget).entry(entry("b"));
    expect(() => {
      new SegmentBuilder(sink, budget).entry(entry("c"));
    }).toThrow(expect.objectContaining({ code: "TREE_TOO_LARGE" }));
  });
});
