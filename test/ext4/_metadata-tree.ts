/** Trees of which it is known how many blocks of metadata each inode has, for the source and for the naive model. */
import { asByteString, type ByteString } from "../../src/base/bytes.ts";
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import type { DiskPlan, PlanInput } from "../../src/ext4/plan.ts";
import type { Inode, LayerSlots } from "../../src/tree/tree.ts";
import { longName, longNames, longNamesWithin } from "../support/long-names.ts";
import { makeInode } from "./_make-inode.ts";
import type { NaiveDisk, NaiveInode, NaiveInput } from "./_naive-disk.ts";

/** Attributes by what becomes of them: within the inode, in a block, in a block with the value in an inode. */
const ATTRIBUTES = {
  none: 0,
  inInode: 20,
  a: 500,
  b: 501,
  value: 9000,
  largeValue: 65_536,
} as const;

/** What an inode of a random tree has. */
export interface Item {
  readonly kind: "dir" | "symlink" | "file";
  /** Of a directory or long symlink: its blocks; of a file: its extents. */
  readonly count: number;
  readonly attributes: keyof typeof ATTRIBUTES;
}

export interface Layer {
  readonly items: readonly Item[];
  /** Directory slots without a directory, before the others. */
  readonly emptySlots?: number;
  readonly segmentChunks?: number;
}

const SHARED_FILE = makeInode({ slot: 0 });
/** Names for a directory of so many blocks; all of them are the same file's, which is the base's first. */
const namesWithin = new Map<number, Map<ByteString, Inode>>();
function childrenOf(blockCount: number): Map<ByteString, Inode> {
  const known = namesWithin.get(blockCount);
  if (known !== undefined) return known;
  const names = blockCount === 1 ? [] : longNames(longNamesWithin(blockCount));
  const children = new Map(names.map((name) => [name, SHARED_FILE] as const));
  namesWithin.set(blockCount, children);
  return children;
}

const EXTENT_BLOCKS: ReadonlyMap<number, number> = new Map([
  [0, 0],
  [4, 0],
  [5, 1],
  [341, 2],
  [1361, 5 + 1],
]);

function inodeOf({ kind, count, attributes }: Item, place: { layerIndex: number; slot: number }): Inode {
  const sizeBytes = ATTRIBUTES[attributes];
  const xattrs = new Map([[asByteString("trusted.a"), new Uint8Array(sizeBytes)]]);
  const common = { ...place, xattrs: sizeBytes > 0 ? xattrs : undefined };
  if (kind === "dir") return makeInode({ ...common, type: "dir", children: new Map(childrenOf(count)) });
  if (kind === "symlink")
    return makeInode({ ...common, type: "symlink", linkTarget: asByteString("t".repeat(59 + count)) });
  const runs = Array.from({ length: count }, (_, i) => ({
    fileBlock: 2 * i,
    segmentBlock: i,
    blockCount: 1,
  }));
  return makeInode({ ...common, body: { sizeBytes: 8192 * count, runs } });
}

function naiveInode({ kind, count, attributes }: Item, place: { layer: number; slot: number }): NaiveInode {
  const valueBytes = ATTRIBUTES[attributes];
  return {
    ...place,
    isDirectory: kind === "dir",
    dataBlocks: kind === "file" ? 0 : count,
    extentBlocks: kind === "file" ? EXTENT_BLOCKS.get(count)! : 0,
    attributes:
      valueBytes <= 20 ? undefined : { key: attributes, valueBytes: valueBytes > 4096 ? valueBytes : 0 },
  };
}

export interface MadeTree {
  readonly input: PlanInput;
  readonly naive: NaiveInput;
  readonly inodes: readonly Inode[];
}

/** A tree of these layers, all of it in one directory of the base, for the source and for the model. */
export function makeTree(
  layers: readonly Layer[],
  root: Pick<Item, "count" | "attributes">,
  size: NaiveInput["size"],
): MadeTree {
  const slots: LayerSlots[] = [];
  const inodes: Inode[] = [];
  const naive: NaiveInode[] = [];
  const rootItem: Item = { kind: "dir", ...root };
  const holder: Item = { kind: "dir", count: 1, attributes: "none" };
  for (const [layerIndex, { items, emptySlots = 0 }] of layers.entries()) {
    // Slot 0 of the base's files is the shared file's.
    const next = { files: 1, directories: emptySlots };
    for (const item of layerIndex === 0 ? [holder, ...items] : items) {
      const slot = item.kind === "dir" ? next.directories++ : next.files++;
      inodes.push(inodeOf(item, { layerIndex, slot }));
      naive.push(naiveInode(item, { layer: layerIndex, slot }));
    }
    slots.push(next);
  }
  const [top = makeInode({}), ...others] = inodes;
  for (const [i, inode] of others.entries()) top.children?.set(asByteString(`${i}`), inode);
  // The names are as many as before, and as long, so that the root directory has its blocks.
  const children = new Map(childrenOf(root.count)).set(longName(0), top);
  const rootDirectory = { ...inodeOf(rootItem, { layerIndex: 0, slot: -1 }), children };
  const segmentChunks = layers.map((layer) => layer.segmentChunks ?? 0);
  const sizeRequest: SizeRequest =
    size.kind === "auto" ? { kind: "auto" } : { kind: size.kind, sizeBytes: size.bytes };
  return {
    input: { tree: { rootDirectory, slots }, segmentChunkCounts: segmentChunks, sizeRequest },
    naive: { slots, inodes: [...naive, naiveInode(rootItem, { layer: -1, slot: -1 })], segmentChunks, size },
    inodes: [...inodes, rootDirectory],
  };
}

/** What the plan says of what the model says, in the model's words. */
export function placesOf({ inodes }: MadeTree, plan: DiskPlan): NaiveDisk {
  const { geometry } = plan;
  return {
    segments: plan.segmentStarts,
    places: inodes.map((inode) => {
      const number = inode.slot < 0 ? 2 : plan.numbering.numberOf(inode);
      const place = plan.places.get(number);
      return {
        data: (place?.dataBlockCount ?? 0) > 0 ? place?.dataBlock : undefined,
        extent: (place?.extentBlockCount ?? 0) > 0 ? place?.extentBlock : undefined,
        attributes: (place?.xattrBlock ?? 0) > 0 ? place?.xattrBlock : undefined,
      };
    }),
    values: [...plan.valueInodes.values()].map(({ inodeNumber, dataBlock }) => [inodeNumber, dataBlock]),
    size: {
      blocks: geometry.blockCount,
      groups: geometry.groupCount,
      inodesPerGroup: geometry.inodesPerGroup,
      tables: geometry.inodeTableStart,
      bitmaps: geometry.blockBitmapStart,
      firstFree: geometry.firstFreeBlock,
      end: geometry.contentEnd,
    },
  };
}

/** All that has its place on the disk: no two of these may have a block in common. */
export function rangesOf(
  plan: DiskPlan,
  { segmentChunkCounts }: PlanInput,
): [start: number, count: number][] {
  const { geometry } = plan;
  return [
    [0, 1 + geometry.descriptorBlocks],
    [geometry.blockBitmapStart, geometry.groupCount],
    [geometry.inodeBitmapStart, geometry.groupCount],
    [geometry.inodeTableStart, geometry.groupCount * geometry.inodeTableBlocksPerGroup],
    ...segmentChunkCounts.map((count, i): [number, number] => [plan.segmentStarts[i] ?? 0, count * 128]),
    ...[...plan.places.values()].flatMap((place): [number, number][] => [
      [place.dataBlock, place.dataBlockCount],
      [place.extentBlock, place.extentBlockCount],
    ]),
    ...plan.xattrBlocks.map(({ blockNumber }): [number, number] => [blockNumber, 1]),
    ...[...plan.valueInodes.values()].map(({ dataBlock, value }): [number, number] => [
      dataBlock,
      Math.ceil(value.length / 4096),
    ]),
  ];
}
