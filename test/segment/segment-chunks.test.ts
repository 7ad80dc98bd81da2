import { describe, expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { SegmentChunks } from "../../src/segment/segment-chunks.ts";
import { asByteString } from "../../src/base/bytes.ts";
import { bodyBytes, sinkOf } from "../support/layer-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { CUTTING_STATE, cuttingPath, QUIET, QUIET_STATE } from "./_paths.ts";
import { makeUnpacked } from "./_unpack.ts";

const BLOCK = 4096;

describe("SegmentChunks", () => {
  test("whole chunks of a file are the same wherever it comes; the rest shares a chunk", () => {
    const [small, big] = [QUIET[0]!, QUIET[1]!];
    const body = Uint8Array.from({ length: 3 * CHUNK_BYTES + BLOCK }, (_, i) => (i * 7 + (i >> 12)) % 253);
    const alone = makeUnpacked(tarBuilder().file(big, body).end());
    const behind = makeUnpacked(tarBuilder().file(small, "x").file(big, body).end());
    expect(alone.entries[0]?.body?.runs).toEqual([{ fileBlock: 0, segmentBlock: 0, blockCount: 385 }]);
    expect(behind.entries.map(({ body: place }) => place?.runs)).toEqual([
      [{ fileBlock: 0, segmentBlock: 384, blockCount: 1 }],
      [
        { fileBlock: 0, segmentBlock: 0, blockCount: 384 },
        { fileBlock: 384, segmentBlock: 385, blockCount: 1 },
      ],
    ]);
    for (let i = 0; i < 3; i++) expect(Buffer.compare(behind.chunks[i]!, alone.chunks[i]!)).toBe(0);
    expect(Buffer.compare(bodyBytes(behind.entries[1]!.body!, behind.chunks), body)).toBe(0);
  });

  test("what two groups leave over shares a chunk, each from a multiple of eight blocks on", () => {
    const [cut, plain] = [cuttingPath(1), QUIET[0]!];
    const runs = (...paths: string[]): (number | undefined)[] => {
      const tar = tarBuilder();
      for (const path of paths) tar.file(path, "x");
      return makeUnpacked(tar.end()).entries.map(({ body }) => body?.runs[0]?.segmentBlock);
    };
    expect(runs(plain, plain)).toEqual([0, 1]);
    expect(runs(plain, cut, plain, cut)).toEqual([0, 8, 9, 16]);
  });

  test("a full chunk ends before the file that draws least of those in its last eight blocks", () => {
    const [least, middle, most] = [QUIET[0]!, QUIET[1]!, QUIET[2]!];
    const [first, second] = [QUIET[3]!, QUIET[4]!];
    const blocks = (count: number): Uint8Array => new Uint8Array(count * BLOCK).fill(1);
    const placesOf = (...rows: readonly (readonly [string, number])[]): (number | undefined)[] => {
      const tar = tarBuilder().file(first, blocks(61)).file(second, blocks(60));
      for (const [path, count] of rows) tar.file(path, blocks(count));
      return makeUnpacked(tar.end())
        .entries.slice(2)
        .map(({ body }) => body?.runs[0]?.segmentBlock);
    };
    expect(placesOf([least, 3], [middle, 3], [most, 1])).toEqual([121, 124, 127]);
    expect(placesOf([least, 3], [middle, 3], [most, 3])).toEqual([128, 131, 134]);
    expect(placesOf([middle, 3], [least, 3], [most, 3])).toEqual([121, 128, 131]);
    expect(placesOf([middle, 3], [most, 3], [least, 3])).toEqual([121, 124, 128]);
    // Exactly full: the next one begins the next chunk, or goes along with those that drew less.
    expect(placesOf([middle, 7], [least, 1])).toEqual([121, 128]);
    expect(placesOf([least, 7], [middle, 1])).toEqual([128, 135]);
  });

  test("where no file begins near a chunk's end the next one goes on in the next chunk", () => {
    const body = Uint8Array.from({ length: 50 * BLOCK }, (_, i) => (i >> 12) + 1);
    const tar = tarBuilder().file(QUIET[0]!, body).file(QUIET[1]!, body).file(QUIET[2]!, body).end();
    const { entries, chunks } = makeUnpacked(tar);
    expect(entries[2]?.body?.runs).toEqual([{ fileBlock: 0, segmentBlock: 100, blockCount: 50 }]);
    expect(Buffer.compare(bodyBytes(entries[2]!.body!, chunks), body)).toBe(0);
  });

  test("a chunk that is full where its group ends is no tail", () => {
    const cut = cuttingPath(4);
    const blocks = (count: number): Uint8Array => new Uint8Array(count * BLOCK).fill(1);
    const tar = tarBuilder().file(QUIET[0]!, blocks(2)).file(cut, blocks(4));
    tar.file(QUIET[1]!, blocks(62)).file(QUIET[2]!, blocks(62)).file(cut, blocks(4));
    const places = makeUnpacked(tar.end()).entries.map(({ body }) => body?.runs[0]?.segmentBlock);
    expect(places).toEqual([0, 128, 132, 194, 8]);
  });

  describe("state files", () => {
    const STATE = QUIET_STATE[0]!;
    const [one, two, three] = [QUIET[0]!, QUIET[1]!, QUIET[2]!];
    const blocks = (count: number): Uint8Array => new Uint8Array(count * BLOCK).fill(1);
    const runsOf = (...rows: readonly (readonly [string, number])[]): [number, number][][] => {
      const tar = tarBuilder();
      for (const [path, count] of rows) tar.file(path, blocks(count));
      return makeUnpacked(tar.end()).entries.map(({ body }) =>
        body!.runs.map(({ segmentBlock, blockCount }) => [segmentBlock, blockCount]),
      );
    };

    test("come behind all other tails, whatever their place in the layer", () => {
      const cut = cuttingPath(1);
      const expected = [[[16, 2]], [[0, 1]], [[18, 3]], [[1, 1]], [[8, 1]]];
      const [second] = QUIET_STATE.slice(1);
      expect(runsOf([STATE, 2], [one, 1], [second!, 3], [two, 1], [cut, 1])).toEqual(expected);
    });

    test("do not end the group that they come in", () => {
      const cut = CUTTING_STATE;
      expect(runsOf([one, 60], [cut, 1], [two, 60])).toEqual([[[0, 60]], [[120, 1]], [[60, 60]]]);
    });

    test("begin no group after the first, whatever they draw", () => {
      expect(runsOf([STATE, 3], [CUTTING_STATE, 1], [STATE, 4])).toEqual([[[0, 3]], [[3, 1]], [[4, 4]]]);
    });

    test("have whole chunks as others, and full ones that are numbered when they are full", () => {
      expect(runsOf([one, 60], [STATE, 130], [STATE, 100], [STATE, 50], [two, 128], [three, 1])).toEqual([
        [[384, 60]],
        [[0, 130]],
        [[130, 100]],
        [
          [230, 26],
          // After the tail of the group, which takes 64 blocks.
          [448, 24],
        ],
        [[256, 128]],
        [[444, 1]],
      ]);
    });

    test("alone, and a chunk that they fill to its end, are a segment", () => {
      expect(runsOf([STATE, 3])).toEqual([[[0, 3]]]);
      expect(runsOf([STATE, 64], [STATE, 64], [one, 1])).toEqual([[[128, 64]], [[192, 64]], [[0, 1]]]);
    });

    test("that are empty or have whole chunks only are no group", () => {
      expect(runsOf([STATE, 0], [STATE, 128], [one, 1])).toEqual([[], [[0, 128]], [[128, 1]]]);
    });
  });

  test("a chunk is given away as soon as nothing more can come into it", () => {
    const given: number[] = [];
    const chunks = new SegmentChunks(sinkOf((chunkIndex) => given.push(chunkIndex)));
    chunks.begin(asByteString(QUIET[0]!), 1, [{ fileBlock: 0, blockCount: 256 }]);
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
