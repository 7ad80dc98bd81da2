/**
 * Inode numbers (docs/format/disk-image.md, "Inode numbers"): each layer has a run of numbers, for its files and then
 * for its directories, in the order of their slots. What an upper layer does renumbers nothing below it, and
 * what a lower layer gains or loses is mostly taken up by the room left after files and after directories.
 */
import { assert } from "../base/error.ts";
import { alignUp, divCeil } from "../base/units.ts";
import { inodeRoom } from "../tree/slots.ts";
import type { Inode, LayerSlots, Tree } from "../tree/tree.ts";
import { FIRST_INODE_NUMBER, INODES_PER_BLOCK, ROOT_INODE_NUMBER } from "./constants.ts";
import { CHUNK_BLOCKS } from "./profile.ts";

/** Inodes of one chunk of inode table. */
const INODES_PER_CHUNK = CHUNK_BLOCKS * INODES_PER_BLOCK;

/** Numbers for a whole tree. */
export interface Numbering {
  numberOf(inode: Inode): number;
  /** By inode number; holes are numbers that no inode has. */
  readonly inodes: readonly (Inode | undefined)[];
  /** The first number that no run reserves. */
  readonly endNumber: number;
  parentOf(directory: Inode): Inode;
}

/** Gives every inode of the tree its number. */
export function numberInodes(tree: Tree): Numbering {
  const bases = layBases(tree.slots);
  const numberOf = (inode: Inode): number => {
    if (inode.slot < 0) return ROOT_INODE_NUMBER;
    const base = bases.layers[inode.layerIndex];
    assert(base !== undefined, "every inode is of a layer");
    return (inode.type === "dir" ? base.directories : base.files) + inode.slot;
  };
  const inodes: (Inode | undefined)[] = new Array<Inode | undefined>(bases.endNumber);
  const parents = new Map<Inode, Inode>([[tree.rootDirectory, tree.rootDirectory]]);
  inodes[ROOT_INODE_NUMBER] = tree.rootDirectory;
  const todo = [tree.rootDirectory];
  for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
    for (const child of directory.children?.values() ?? []) {
      inodes[numberOf(child)] = child;
      if (child.type === "dir") {
        parents.set(child, directory);
        todo.push(child);
      }
    }
  }
  return {
    numberOf,
    inodes,
    endNumber: bases.endNumber,
    parentOf: (directory) => parents.get(directory) ?? tree.rootDirectory,
  };
}

function layBases(slots: readonly LayerSlots[]): {
  layers: { files: number; directories: number }[];
  endNumber: number;
} {
  // Numbers count from 1, places in the table from 0: `place` is the number less one.
  let place = alignUp(FIRST_INODE_NUMBER - 1, INODES_PER_BLOCK);
  const layers = slots.map(({ files, directories }) => {
    const filesRoom = inodeRoom(files);
    const count = filesRoom + directories;
    // A layer lies in as few chunks as can be; it begins a chunk only where it would lie in one more otherwise.
    const isCrossing =
      divCeil((place % INODES_PER_CHUNK) + count, INODES_PER_CHUNK) > divCeil(count, INODES_PER_CHUNK);
    const start = isCrossing ? alignUp(place, INODES_PER_CHUNK) : place;
    if (count > 0) place = start + inodeRoom(count);
    return { files: start + 1, directories: start + filesRoom + 1 };
  });
  return { layers, endNumber: place + 1 };
}
