import { describe, expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { SegmentChunks } from "../../src/segment/segment-chunks.ts";
import { asByteString } from "../../src/base/bytes.ts";
import { bodyBytes, sinkOf } from "../support/layer-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { CUTTING_STATE, cuttingPath, QUIET, QUIET_STATE, quietPaths, tailCuttingPath } from "./_paths.ts";
import { placesBehind, placesOf, type Row } from "./_places.ts";
import { makeUnpacked } from "./_unpack.ts";

const BLOCK = 4096;

/** Files in order: how many blocks each path has. */
type Rows = Readonly<Record<string, number>>;

/** Paths that make no cut, in the order of their draws: in the root directory, in packages, and in a directory of one. */
const [one, two, three] = [QUIET[0]!, QUIET[1]!, QUIET[2]!];
const [lib0, lib1, lib2] = quietPaths("lib/") as [string, string, string];
const libLast = quietPaths("lib/").at(-1)!;
const [deep0, deep1, deep2] = quietPaths("lib/deep/") as [string, string, string];
const [opt0, opt1] = quietPaths("opt/") as [string, string];
const [STATE, secondState] = QUIET_STATE as [string, string];

describe("SegmentChunks", () => {
  test("whole chunks of a file are the same wherever it comes; the rest shares a chunk", () => {
    const body = Uint8Array.from({ length: 3 * CHUNK_BYTES + BLOCK }, (_, i) => (i * 7 + (i >> 12)) % 253);
    const alone = makeUnpacked(tarBuilder().file(two, body).end());
    const before = "x".repeat(5 * BLOCK);
    const behind = makeUnpacked(tarBuilder().file(one, before).file(two, body).end());
    expect(alone.entries[0]?.body?.runs).toEqual([{ fileBlock: 0, segmentBlock: 0, blockCount: 385 }]);
    expect(behind.entries.map(({ body: place }) => place?.runs)).toEqual([
      [{ fileBlock: 0, segmentBlock: 384, blockCount: 5 }],
      [
        { fileBlock: 0, segmentBlock: 0, blockCount: 384 },
        { fileBlock: 384, segmentBlock: 389, blockCount: 1 },
      ],
    ]);
    for (let i = 0; i < 3; i++) expect(Buffer.compare(behind.chunks[i]!, alone.chunks[i]!)).toBe(0);
    expect(Buffer.compare(bodyBytes(behind.entries[1]!.body!, behind.chunks), body)).toBe(0);
  });

  test("where no file begins near a chunk's end the next one goes on in the next chunk", () => {
    const body = Uint8Array.from({ length: 50 * BLOCK }, (_, i) => (i >> 12) + 1);
    const tar = tarBuilder().file(one, body).file(two, body).file(three, body).end();
    const { entries, chunks } = makeUnpacked(tar);
    expect(entries[2]?.body?.runs).toEqual([{ fileBlock: 0, segmentBlock: 100, blockCount: 50 }]);
    expect(Buffer.compare(bodyBytes(entries[2]!.body!, chunks), body)).toBe(0);
  });

  test("a chunk is given away as soon as nothing more can come into it", () => {
    const given: number[] = [];
    const chunks = new SegmentChunks(sinkOf((chunkIndex) => given.push(chunkIndex)));
    chunks.begin(asByteString(one), 1, [{ fileBlock: 0, blockCount: 256 }]);
    chunks.write(0, new Uint8Array(CHUNK_BYTES));
    expect(given).toEqual([]);
    chunks.write(CHUNK_BYTES, new Uint8Array(CHUNK_BYTES));
    expect(given).toEqual([0]);
    chunks.end();
    expect(given).toEqual([0, 1]);
    expect(chunks.finish()).toBe(2);
    expect(given).toEqual([0, 1]);
  });

  test("more bytes than the file has blocks are a bug", () => {
    const chunks = new SegmentChunks(sinkOf(() => undefined));
    chunks.begin(asByteString("f"), 1, [{ fileBlock: 0, blockCount: 1 }]);
    expect(() => {
      chunks.write(0, new Uint8Array(BLOCK + 1));
    }).toThrow("more bytes came");
  });
});

describe("a full chunk", () => {
  test.each<[string, number, Rows, string[]]>([
    ["is not full yet", 118, { [one]: 5, [two]: 5 }, ["0:118+5", "0:123+5"]],
    ["the first draws least", 118, { [one]: 5, [two]: 6 }, ["1:0+5", "1:5+6"]],
    ["the last draws least", 118, { [two]: 5, [one]: 6 }, ["0:118+5", "1:0+6"]],
    ["the next comes behind its end", 118, { [two]: 10, [one]: 5 }, ["0:118+10", "1:0+5"]],
    ["it is full, and an earlier one draws less", 118, { [one]: 10, [two]: 5 }, ["1:0+10", "1:10+5"]],
    ["a file begins before them", 117, { [one]: 5, [two]: 5, [three]: 5 }, ["0:117+5", "1:0+5", "1:5+5"]],
    ["none begins in them", 117, { [one]: 12 }, ["0:117+12"]],
    ["the next is the only one", 118, { [one]: 12 }, ["1:0+12"]],
  ])("ends before the file that draws least of its last ten blocks: %s", (_, before, rows, expected) => {
    expect(placesBehind(before, ...Object.entries(rows))).toEqual(expected);
  });

  test("ends before the topmost of them, whatever it draws", () => {
    expect(placesOf([lib0, 54], [lib1, 64], [deep1, 5], [deep0, 6]).slice(2)).toEqual(["1:0+5", "1:5+6"]);
    expect(placesOf([deep1, 54], [deep2, 64], [deep0, 5], [libLast, 6]).slice(2)).toEqual([
      "0:118+5",
      "1:0+6",
    ]);
  });
});

describe("a group", () => {
  const cut = cuttingPath(5);

  test("begins before a file that draws so", () => {
    expect(placesOf([one, 5], [two, 5])).toEqual(["0:0+5", "0:5+5"]);
    expect(placesOf([one, 5], [cut, 5], [one, 5], [cut, 5])).toEqual(["0:0+5", "0:8+5", "0:13+5", "0:24+5"]);
  });

  test("that fills its last chunk has no tail", () => {
    const places = placesOf([one, 6], [cut, 6], [two, 61], [three, 61], [cut, 6]);
    expect(places).toEqual(["0:0+6", "1:0+6", "1:6+61", "1:67+61", "0:8+6"]);
  });

  // Before each of them are blocks in chunks 0 to 3 or 4, without a gap.
  test.each<[string, number, Rows, string[]]>([
    ["where it has 512 blocks", 444, { [lib0]: 68, [lib1]: 60 }, ["4:0+68", "4:68+60"]],
    ["but not where it has 511", 443, { [lib0]: 68, [lib1]: 60 }, ["3:59+68", "4:0+60"]],
    ["that goes on with the file that does not fit", 532, { [lib0]: 60, [lib1]: 68 }, ["5:0+60", "5:60+68"]],
    ["but not of one that fits", 532, { [lib0]: 60, [lib1]: 48 }, ["4:20+60", "4:80+48"]],
    ["that begins with the file that does not fit", 600, { [lib0]: 68 }, ["5:0+68"]],
    ["but not before a file alone", 532, { [one]: 60, [two]: 68 }, ["4:20+60", "4:80+68"]],
    ["but not where a file alone comes last", 532, { [lib0]: 60, [two]: 68 }, ["4:20+60", "4:80+68"]],
    [
      "the last of the topmost ones",
      532,
      { [lib0]: 30, [opt0]: 30, [opt1]: 98 },
      ["4:20+30", "5:0+30", "5:30+98"],
    ],
    ["rather the one above", 532, { [lib0]: 30, [deep0]: 30, [deep1]: 68 }, ["5:0+30", "5:30+30", "5:60+68"]],
    [
      "but not before its own first file",
      512,
      { [lib0]: 60, [lib1]: 40, [lib2]: 60 },
      ["4:0+60", "4:60+40", "4:100+60"],
    ],
    [
      "at block 117, where its tail goes on",
      629,
      { [lib0]: 11, [lib1]: 117, [STATE]: 1 },
      ["5:0+11", "5:11+117", "4:120+1"],
    ],
    [
      "but not at block 118, where its chunk ends",
      630,
      { [lib0]: 10, [lib1]: 118, [STATE]: 1 },
      ["5:0+10", "5:10+118", "6:0+1"],
    ],
  ])(
    "ends before a directory beyond its chunk, of a parent of 512 blocks: %s",
    (_, before, rows, expected) => {
      expect(placesBehind(before, ...Object.entries(rows))).toEqual(expected);
    },
  );

  test("ends at most twice before a directory in the second half of a chunk, until a cut is drawn", () => {
    // Directories of 66 blocks, with the last file of each where the chunk that it began in has no room for it.
    const rowsOf = (folder: string): Row[] => {
      const [first, second] = quietPaths(`${folder}/`) as [string, string];
      return [
        [first, 60],
        [second, 6],
      ];
    };
    const beginningsOf = (...rows: readonly Row[]): string[] =>
      placesBehind(512, ...rows).map((runs) => runs.replace(/\+.*/, ""));
    const dirs = ["a", "b", "c", "d"].map(rowsOf);
    const drawn: Row = [cuttingPath(70, "e/"), 70];
    const late = [...dirs.flat(), drawn, ...rowsOf("f"), ...rowsOf("g")];
    expect(beginningsOf(...late)).toEqual([
      // Before `b` and before `c` it ends; `d` goes on in the chunk that `c` began.
      ...["4:0", "4:60", "4:72", "5:4", "6:0", "6:60", "6:66", "5:16"],
      // After the drawn cut it ends again, before `f` and before `g`.
      ...["5:24", "7:0", "7:60", "7:72", "8:4"],
    ]);
  });

  test.each<[string, readonly [number, number, number], string]>([
    ["128 of 512 blocks", [61, 67, 64], "3:72+64"],
    ["127 of 512 blocks", [60, 67, 65], "3:67+65"],
    ["128 of 511 blocks", [61, 67, 63], "3:67+63"],
  ])(
    "ends after a directory of a chunk, of a parent of 512 blocks: %s",
    (_, [first, second, next], expected) => {
      const places = placesBehind(320, [lib0, first], [lib1, second], [one, next]);
      expect(places).toEqual([`2:64+${first}`, `3:0+${second}`, expected]);
    },
  );
});

describe("a tail", () => {
  test.each<[string, number, number, string]>([
    ["that fits", 64, 64, "0:64+64"],
    ["where 40 blocks are left", 88, 41, "1:0+41"],
    ["where 40 blocks are left when all is rounded up", 81, 41, "1:0+41"],
    ["where no block is left", 121, 9, "1:0+9"],
    ["split where 48 are left", 80, 56, "0:80+56"],
    ["split where 48 are left, though its last blocks are few", 73, 49, "0:80+49"],
  ])("comes behind the one before: %s", (_, before, blockCount, expected) => {
    expect(placesOf([one, before], [cuttingPath(blockCount), blockCount]).at(-1)).toBe(expected);
  });

  test("begins a chunk where the file that began its group draws so", () => {
    const tailCut = tailCuttingPath(16, "var/");
    expect(placesOf([one, 5], [STATE, 5], [tailCut, 5])).toEqual(["0:0+5", "0:8+5", "0:13+5"]);
    expect(placesOf([one, 5], [tailCut, 5], [STATE, 5])).toEqual(["0:0+5", "1:0+5", "1:5+5"]);
  });

  test("begins a chunk where the directory before which its group was cut draws so", () => {
    const tailCut = tailCuttingPath(112, "lib/");
    expect(placesBehind(532, [lib0, 30], [lib1, 80])).toEqual(["4:24+30", "4:54+80"]);
    expect(placesBehind(532, [tailCut, 30], [lib1, 80])).toEqual(["5:0+30", "5:30+80"]);
  });

  test("begins none where a directory draws so that only begins a chunk of its group", () => {
    const tailCut = tailCuttingPath(32, "lib/");
    const filler = QUIET.slice(20, 27).map((path): Row => [path, 64]);
    const places = placesOf(
      [one, 5],
      [cuttingPath(64), 64],
      ...filler,
      [tailCut, 60],
      [lib1, 40],
      [lib2, 60],
    );
    expect(places.slice(-3)).toEqual(["5:0+60", "5:60+40", "5:100+28 0:8+32"]);
  });
});

describe("small files", () => {
  const first = QUIET[5]!;

  test("come behind the tails of usual ones, before state files, whatever their place in the layer", () => {
    expect(placesOf([STATE, 2], [first, 1], [one, 5], ["s", 4], [cuttingPath(5), 5])).toEqual([
      "0:24+2",
      "0:16+1",
      "0:0+5",
      "0:17+4",
      "0:8+5",
    ]);
  });

  test.each<[string, Rows, string[]]>([
    ["of 4 blocks, not of 5", { [first]: 4, [one]: 5 }, ["0:8+4", "0:0+5"]],
    [
      "not those that have whole chunks",
      { [one]: 5, [two]: 129, [three]: 5 },
      ["1:0+5", "0:0+128 1:5+1", "1:6+5"],
    ],
    [
      "behind 2047 blocks of all files",
      { [one]: 2047, [first]: 1, [two]: 5 },
      ["0:0+2047", "16:8+1", "16:0+5"],
    ],
    [
      "not behind 2048, of state files, too",
      { [one]: 1920, [STATE]: 128, [first]: 1, [two]: 5 },
      ["0:0+1920", "15:0+128", "16:0+1", "16:1+5"],
    ],
  ])("are those at the start of the layer: %s", (_, rows, expected) => {
    expect(placesOf(...Object.entries(rows))).toEqual(expected);
  });

  test("neither begin a group nor end that of others, whatever they draw", () => {
    const cut = cuttingPath(1);
    expect(placesOf([one, 60], [first, 1], [cut, 1], [two, 60])).toEqual([
      "0:0+60",
      "0:120+1",
      "0:121+1",
      "0:60+60",
    ]);
  });

  test("are no boundaries, and no blocks of a parent", () => {
    const rows = (blockCount: number): Rows => ({ [lib0]: 68, "opt/s": blockCount, [lib1]: 60 });
    expect(placesBehind(443, ...Object.entries(rows(4)))).toEqual(["3:59+68", "4:64+4", "4:0+60"]);
    expect(placesBehind(443, ...Object.entries(rows(5)))).toEqual(["3:59+68", "4:0+5", "4:5+60"]);
  });
});

describe("state files", () => {
  test("come behind all other tails, whatever their place in the layer", () => {
    expect(placesOf([STATE, 2], [one, 5], [secondState, 3], [two, 5], [cuttingPath(5), 5])).toEqual([
      "0:24+2",
      "0:0+5",
      "0:26+3",
      "0:5+5",
      "0:16+5",
    ]);
  });

  test.each(["app/yarn.lock", "app/package-lock.json", "app/pnpm-lock.yaml", "var/lib/dpkg/status"])(
    "are such as %s",
    (path) => {
      expect(placesOf([path, 5], [one, 5])).toEqual(["0:8+5", "0:0+5"]);
    },
  );

  test("do not end the group that they come in", () => {
    expect(placesOf([one, 60], [CUTTING_STATE, 1], [two, 60])).toEqual(["0:0+60", "0:120+1", "0:60+60"]);
  });

  test("begin no group after the first, whatever they draw", () => {
    expect(placesOf([STATE, 3], [CUTTING_STATE, 1], [STATE, 4])).toEqual(["0:0+3", "0:3+1", "0:4+4"]);
  });

  test("have whole chunks as others, and full ones that are numbered when the next of them comes", () => {
    expect(placesOf([one, 60], [STATE, 130], [STATE, 100], [STATE, 50], [two, 128], [three, 5])).toEqual([
      "3:0+60",
      "0:0+130",
      "1:2+100",
      "1:102+26 3:72+24",
      "2:0+128",
      "3:60+5",
    ]);
  });

  test("alone, and a chunk that they fill to its end, are a segment", () => {
    expect(placesOf([STATE, 3])).toEqual(["0:0+3"]);
    expect(placesOf([STATE, 64], [STATE, 64], [one, 5])).toEqual(["1:0+64", "1:64+64", "0:0+5"]);
  });

  test("that are empty or have whole chunks only are no group", () => {
    expect(placesOf([STATE, 0], [STATE, 128], [one, 5])).toEqual(["", "0:0+128", "1:0+5"]);
  });
});
