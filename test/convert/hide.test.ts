import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { CHUNK_BYTES, chunkNameAt } from "../../src/chunk/chunk.ts";
import { ChunkIntake } from "../../src/convert/chunk-intake.ts";
import { ChunkLedger } from "../../src/convert/chunk-sealer.ts";
import { hiddenRanges, hideRanges, visibleBodies } from "../../src/convert/hide.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { openChunk, type ChunkKey } from "../../src/crypto/chunk-seal.ts";
import type { Store } from "../../src/store/store.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { BlockRun, FileBody, LayerEntry } from "../../src/tree/layer-entry.ts";
import { MemoryChunks, SALT } from "./_memory.ts";
import { outlined } from "../support/layer-entries.ts";

const BLOCK = 4096;

function file(
  path: string,
  ...runs: readonly (readonly [segmentBlock: number, blockCount: number])[]
): LayerEntry {
  const placed: BlockRun[] = runs.map(([segmentBlock, blockCount], i) => ({
    fileBlock: i * 1000,
    segmentBlock,
    blockCount,
  }));
  const body: FileBody = { sizeBytes: 1, runs: placed };
  return { ...link(path, ""), type: "file", body };
}

function link(path: string, target: string): LayerEntry {
  return {
    path: asByteString(path),
    type: "hardlink",
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    body: undefined,
    linkTarget: asByteString(target),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
  };
}

describe("visibleBodies", () => {
  test("are those that some name still leads to, by layer and first block", () => {
    const layers = [
      [file("a", [0, 3]), file("d/b", [3, 2], [9, 1]), file("c", [5, 1]), file("e"), link("d/link", "c")],
      [file("a", [0, 1]), file(".wh.c", [1, 1])],
    ];
    const flattener = new Flattener();
    for (const layer of layers) flattener.applyLayer(outlined(layer));
    const visible = visibleBodies(flattener.finish(), 2);
    const blocks = visible.map((bodies) =>
      Array.from({ length: 300 }, (_, i) => i).filter((i) => bodies.has(i)),
    );
    expect(blocks).toEqual([[3, 5], [0]]);
  });

  test("of a layer that an image has twice are told apart", () => {
    const layer = [file("a", [200, 1])];
    const flattener = new Flattener();
    flattener.applyLayer(outlined(layer));
    flattener.applyLayer(outlined(layer));
    expect(visibleBodies(flattener.finish(), 2).map((bodies) => bodies.has(200))).toEqual([false, true]);
  });
});

describe("hiddenRanges", () => {
  test("are the blocks of hidden bodies, cut at the chunks", () => {
    const [shown, one, two] = [file("s", [0, 5]), file("a", [5, 2], [10, 1]), file("b", [127, 130])];
    const ranges = hiddenRanges([shown, one, two, link("l", "a")], new Set([0]));
    expect([...ranges]).toEqual([
      [
        0,
        [
          [5, 7],
          [10, 11],
          [127, 128],
        ].map(([from, to]) => ({ start: from! * BLOCK, end: to! * BLOCK })),
      ],
      [1, [{ start: 0, end: CHUNK_BYTES }]],
      [2, [{ start: 0, end: BLOCK }]],
    ]);
  });
});

describe("hideRanges", () => {
  async function patch(
    plains: readonly Uint8Array[],
    ranges: ReadonlyMap<number, readonly { start: number; end: number }[]>,
    spoil: (chunks: MemoryChunks) => void = () => undefined,
  ): Promise<{ ledger: ChunkLedger; plain: (ordinal: number) => Promise<Uint8Array | undefined> }> {
    const store = new MemoryChunks();
    const sealer = new InlineSealer(store as Partial<Store> as Store, SALT);
    const intake = new ChunkIntake(sealer, new Set());
    const ledger = new ChunkLedger();
    for (const [ordinal, plain] of plains.entries()) intake.add(ledger, ordinal, Uint8Array.from(plain));
    await intake.finish();
    spoil(store);
    await hideRanges(ranges, ledger, { store, intake });
    await intake.finish();
    return {
      ledger,
      plain: async (ordinal) => {
        const chunk = ledger.get(ordinal);
        return chunk && openChunk(await store.getChunk(chunk.name), chunk.key as ChunkKey);
      },
    };
  }

  const full = (value: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(value);

  test("zeroes what is hidden and nothing else; what is all zero then is a zero chunk", async () => {
    const half = CHUNK_BYTES / 2;
    const plains = [full(1), full(2), full(3), full(0), full(5)];
    const ranges = new Map([
      [
        0,
        [
          { start: BLOCK, end: 2 * BLOCK },
          { start: half, end: half + BLOCK },
        ],
      ],
      [1, [{ start: 0, end: CHUNK_BYTES }]],
      [
        2,
        [
          { start: 0, end: half },
          { start: half, end: CHUNK_BYTES },
        ],
      ],
      [3, [{ start: 0, end: BLOCK }]],
    ]);
    const { ledger, plain } = await patch(plains, ranges);
    const expected = full(1)
      .fill(0, BLOCK, 2 * BLOCK)
      .fill(0, half, half + BLOCK);
    expect(Buffer.compare((await plain(0))!, expected)).toBe(0);
    expect([1, 2, 3].map((ordinal) => ledger.get(ordinal))).toEqual([undefined, undefined, undefined]);
    expect(Buffer.compare((await plain(4))!, full(5))).toBe(0);
  });

  test("refuses a chunk that comes back damaged", async () => {
    const damaged = patch([full(1)], new Map([[0, [{ start: 0, end: 1 }]]]), ({ chunks }) => {
      for (const sealed of chunks.values()) sealed[7]! ^= 1;
    });
    await expect(damaged).rejects.toMatchObject({ code: "CHUNK_CORRUPT" });
  });

  test("looks at no chunk that nothing hides", async () => {
    const { ledger } = await patch([full(1)], new Map(), ({ chunks }) => {
      chunks.clear();
    });
    expect(ledger.get(0)?.name).not.toBe(chunkNameAt(new Uint8Array(32), 0));
  });
});
