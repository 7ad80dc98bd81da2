/**
 * Where everything of a disk lies, written a second time from docs/format/disk-image.md ("Order", "Inode numbers", "Size"): whatever is
 * said of an inode's blocks there is given here as numbers.
 */

export interface NaiveSlots {
  readonly files: number;
  readonly directories: number;
}

export interface NaiveInode {
  /** -1 for the root directory. */
  readonly layer: number;
  readonly slot: number;
  readonly isDirectory: boolean;
  /** Blocks of a directory or of a long symlink. */
  readonly dataBlocks: number;
  readonly extentBlocks: number;
  /** Equal for equal attributes that have a block; `valueBytes` is the length of the value that has an inode, or 0. */
  readonly attributes: { readonly key: string; readonly valueBytes: number } | undefined;
}

export interface NaiveInput {
  readonly slots: readonly NaiveSlots[];
  readonly inodes: readonly NaiveInode[];
  readonly segmentChunks: readonly number[];
  readonly size: { readonly kind: "auto" | "free" | "total"; readonly bytes: number };
}

/** Blocks, and groups and inodes where it says so. */
export interface NaiveDisk {
  readonly segments: readonly number[];
  /** Of each inode, by its place in the input; undefined where it has none of a kind. */
  readonly places: readonly NaivePlace[];
  /** Of each value that has an inode: its number and its first block. */
  readonly values: readonly (readonly [number: number, block: number])[];
  readonly size: NaiveSize;
}

export interface NaivePlace {
  data: number | undefined;
  extent: number | undefined;
  attributes: number | undefined;
}

export interface NaiveSize {
  readonly blocks: number;
  readonly groups: number;
  readonly inodesPerGroup: number;
  readonly tables: number;
  readonly bitmaps: number;
  readonly firstFree: number;
  readonly end: number;
}

/** `count` rounded up to a multiple of max(least, the power of two below it / parts). */
function roundedUp(count: number, least: number, parts: number): number {
  if (count === 0) return 0;
  let power = 1;
  while (2 * power <= count) power *= 2;
  const unit = Math.max(least, power / parts);
  return Math.ceil(count / unit) * unit;
}

const coarse = (count: number, unit: number): number => roundedUp(count, unit, 8);
const room = (count: number): number => roundedUp(count, 16, 16);
const upTo = (count: number, multiple: number): number => Math.ceil(count / multiple) * multiple;

/** The first number of each layer's files and directories, and the first number that no layer has. */
export function naiveNumbers(slots: readonly NaiveSlots[]): {
  firsts: { files: number; directories: number }[];
  end: number;
} {
  let next = 17;
  const firsts = slots.map(({ files, directories }) => {
    const count = room(files) + directories;
    const chunkOf = (number: number): number => Math.floor((number - 1) / 2048);
    let first = next;
    while ((first - 1) % 16 !== 0) first++;
    const chunks = count === 0 ? 0 : chunkOf(first + count - 1) - chunkOf(first) + 1;
    if (chunks > Math.ceil(count / 2048)) while ((first - 1) % 2048 !== 0) first++;
    next = first + room(count);
    return { files: first, directories: first + room(files) };
  });
  return { firsts, end: next };
}

function numberOf(inode: NaiveInode, firsts: ReturnType<typeof naiveNumbers>["firsts"]): number {
  if (inode.layer < 0) return 2;
  const first = firsts[inode.layer]!;
  return inode.slot + (inode.isDirectory ? first.directories : first.files);
}

/** One of the pieces of a layer's metadata that are never torn, with what is told where it lies. */
interface Item {
  readonly blocks: number;
  readonly put: (block: number) => void;
}

/** All disk places, or undefined where the disk is too small. */
export function naiveDisk(input: NaiveInput): NaiveDisk | undefined {
  const { segments, directories, end: layersEnd } = layLayers(input);
  const numbers = naiveNumbers(input.slots);
  const places = input.inodes.map((): NaivePlace => ({
    data: undefined,
    extent: undefined,
    attributes: undefined,
  }));
  const { rows, values } = itemsOf(input, { places, directories, firsts: numbers.firsts });
  const counts = rows.map((items) => items.reduce((sum, { blocks }) => sum + blocks, 0));
  const valueBlocks = values.map((bytes) => Math.ceil(bytes / 4096));
  const valueSum = valueBlocks.reduce((sum, blocks) => sum + blocks, 0);
  const afterAll = (end: number): number => upTo(upTo(end, 128) + valueSum, 128);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const e = numbers.end + values.length;
  const size = naiveSize({ m: afterAll(layersEnd + all), e }, input.size);
  if (size === undefined) return undefined;
  const end = putItems(rows, { f: upTo(size.firstFree, 8), behind: layersEnd });
  let next = upTo(end, 128);
  return {
    segments,
    places,
    values: valueBlocks.map((blocks, i) => [numbers.end + i, (next += blocks) - blocks]),
    size: tablesAt(size, afterAll(end)),
  };
}

function layLayers({ segmentChunks, slots }: NaiveInput): {
  segments: number[];
  directories: (number | undefined)[];
  end: number;
} {
  let end = 128;
  const segments: number[] = [];
  const directories: (number | undefined)[] = [];
  for (const [layer, chunks] of segmentChunks.entries()) {
    segments.push(end);
    end += 128 * coarse(chunks, 1);
    const count = slots[layer]!.directories;
    directories.push(count >= 128 ? end : undefined);
    if (count >= 128) end += 128 * coarse(Math.ceil(count / 128), 1);
  }
  return { segments, directories, end };
}

/** The items of the root directory and of each layer, in their order, and the sizes of the values that have inodes. */
function itemsOf(
  { slots, inodes }: NaiveInput,
  known: {
    readonly places: readonly NaivePlace[];
    readonly directories: readonly (number | undefined)[];
    readonly firsts: ReturnType<typeof naiveNumbers>["firsts"];
  },
): { rows: Item[][]; values: number[] } {
  const rows: Item[][] = [[], ...slots.map((): Item[] => [])];
  const inSlot = ({ isDirectory, dataBlocks, layer }: NaiveInode): boolean =>
    isDirectory && dataBlocks === 1 && layer >= 0;
  const putSlots = (layer: number, first: number): void => {
    for (const [i, inode] of inodes.entries())
      if (inode.layer === layer && inSlot(inode)) known.places[i]!.data = first + inode.slot;
  };
  for (const [layer, { directories }] of slots.entries()) {
    const own = known.directories[layer];
    if (own !== undefined) putSlots(layer, own);
    else
      rows[layer + 1]!.push({
        blocks: coarse(directories, 8),
        put: (block) => {
          putSlots(layer, block);
        },
      });
  }
  const shared = new Map<string, NaivePlace[]>();
  const values = new Map<string, number>();
  const byNumber = [...inodes.entries()].sort(
    ([, a], [, b]) => numberOf(a, known.firsts) - numberOf(b, known.firsts),
  );
  for (const [i, inode] of byNumber) {
    const items = rows[inode.layer + 1]!;
    const place = known.places[i]!;
    if (inode.dataBlocks > 0 && !inSlot(inode))
      items.push({ blocks: inode.dataBlocks, put: (block) => (place.data = block) });
    if (inode.extentBlocks > 0)
      items.push({ blocks: inode.extentBlocks, put: (block) => (place.extent = block) });
    if (inode.attributes === undefined) continue;
    const { key, valueBytes } = inode.attributes;
    if (valueBytes > 0) values.set(key, valueBytes);
    let sharers = shared.get(key);
    if (sharers === undefined || sharers.length === 1024) {
      const fresh: NaivePlace[] = [];
      sharers = fresh;
      shared.set(key, fresh);
      items.push({
        blocks: 1,
        put: (block) => {
          fresh.forEach((sharer) => (sharer.attributes = block));
        },
      });
    }
    sharers.push(place);
  }
  return { rows, values: [...values.values()] };
}

/** Puts the items in their places; gives the end of those behind the segments. */
function putItems(rows: readonly (readonly Item[])[], { f, behind }: { f: number; behind: number }): number {
  let e = 128;
  let index = rows.length - 1;
  for (; index >= 0; index--) {
    const start =
      e -
      coarse(
        rows[index]!.reduce((sum, { blocks }) => sum + blocks, 0),
        8,
      );
    if (start < f) break;
    let block = start;
    for (const { blocks, put } of rows[index]!) {
      put(block);
      block += blocks;
    }
    e = start;
  }
  // The layer at `index`, if there is one, is the first that does not fit.
  const later = rows.slice(0, Math.max(index, 0)).flat();
  let block = f;
  let isBroken = false;
  for (const item of rows[index] ?? []) {
    isBroken ||= block + item.blocks > e;
    if (isBroken) later.push(item);
    else item.put(block);
    block += item.blocks;
  }
  let end = behind;
  for (const { blocks, put } of later) {
    put(end);
    end += blocks;
  }
  return end;
}

/** The disk's size, with the tables as if no metadata were in chunk 0. */
function naiveSize(content: { m: number; e: number }, asked: NaiveInput["size"]): NaiveSize | undefined {
  const { m, e } = content;
  if (asked.kind === "total") {
    const b = upTo(Math.ceil(asked.bytes / 4096), 128);
    for (const w of [wanted(e, b), e - 1]) {
      const size = sizeOf(b, w, m);
      if (size !== undefined && size.end <= b) return size;
    }
    return undefined;
  }
  const f = asked.kind === "auto" ? 16384 + Math.floor(m / 4) : Math.ceil(asked.bytes / 4096);
  for (let g = Math.ceil((m + f) / 32768); ; g++) {
    const size = sizeOf(g * 32768, wanted(e, g * 32768), m);
    if (size !== undefined && size.end + f <= size.blocks) return size;
  }
}

const wanted = (e: number, b: number): number => Math.max(e + Math.floor(e / 8), Math.floor(b / 4));

function sizeOf(blocks: number, w: number, m: number): NaiveSize | undefined {
  const groups = Math.ceil(blocks / 32768);
  const inodesPerGroup = upTo(Math.ceil(w / groups), 16);
  if (inodesPerGroup > 32768) return undefined;
  return tablesAt({ blocks, groups, inodesPerGroup, tables: 0, bitmaps: 0, firstFree: 0, end: 0 }, m);
}

function tablesAt(size: NaiveSize, m: number): NaiveSize {
  const { groups, inodesPerGroup } = size;
  const descriptors = Math.ceil(groups / 128);
  const tablesEnd = upTo(m + (groups * inodesPerGroup) / 16, 128);
  return 1 + descriptors + 2 * groups <= 128
    ? {
        ...size,
        tables: m,
        bitmaps: 1 + descriptors,
        firstFree: 1 + descriptors + 2 * groups,
        end: tablesEnd,
      }
    : {
        ...size,
        tables: m,
        bitmaps: tablesEnd,
        firstFree: 1 + descriptors,
        end: upTo(tablesEnd + 2 * groups, 128),
      };
}
