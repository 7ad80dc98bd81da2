/** Reads extended attributes (Documentation/filesystems/ext4 "Extended Attributes"). */
import {
  asByteString,
  type ByteString,
  concatBytes,
  showByteString,
  toByteString,
  viewOf,
} from "../base/bytes.ts";
import { XATTR_VALUE_BYTES_MAX } from "../base/limit.ts";
import { checksumNumber, type DiskImage } from "./_read-disk-image.ts";
import { invalidImage, requireChecksum, showBits, unsupportedImage } from "./_read-error.ts";
import { readContent } from "./_read-extent.ts";
import { type Ext4Inode, GOOD_OLD_INODE_BYTES, readInode } from "./_read-inode.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { aclFromDisk } from "./posix-acl.ts";

/** Where attributes are: after the inode's fields, or in a block of their own. */
interface XattrArea {
  readonly where: string;
  readonly bytes: Uint8Array;
  readonly entriesOffset: number;
  /** What e_value_offs counts from. */
  readonly valuesOrigin: number;
  readonly isBlock: boolean;
}

interface RawXattr {
  readonly where: string;
  readonly nameIndex: number;
  readonly nameBytes: Uint8Array;
  /** Of an inode that has the value, or 0. */
  readonly valueInode: number;
  readonly valueBytes: number;
  readonly valueAt: number;
  readonly hash: number;
}

const BLOCK_HEADER_BYTES = 32;
const ENTRY_HEADER_BYTES = 16;
const XATTR_INDEX_RICHACL = 8;
const XATTR_INDEX_HURD = 10;
const PREFIX_OF_INDEX: ReadonlyMap<number, string> = new Map([
  [ext4.XATTR_INDEX_USER, "user."],
  [ext4.XATTR_INDEX_POSIX_ACL_ACCESS, "system.posix_acl_access"],
  [ext4.XATTR_INDEX_POSIX_ACL_DEFAULT, "system.posix_acl_default"],
  [ext4.XATTR_INDEX_TRUSTED, "trusted."],
  [ext4.XATTR_INDEX_SECURITY, "security."],
  [ext4.XATTR_INDEX_SYSTEM, "system."],
  [XATTR_INDEX_RICHACL, "system.richacl"],
  [XATTR_INDEX_HURD, "gnu."],
]);

/** All attributes by full name, in disk order: the inode's own first, then those of its block. */
export async function readXattrs(
  image: DiskImage,
  inode: Ext4Inode,
): Promise<ReadonlyMap<ByteString, Uint8Array>> {
  const xattrs = new Map<ByteString, Uint8Array>();
  for (const area of await xattrAreas(image, inode)) {
    for (const raw of parseEntries(area)) {
      const name = fullName(raw);
      if (xattrs.has(name)) throw invalidImage(raw.where, "each name once", showByteString(name));
      const value = await readValue({ image, inode, area, raw });
      const isAcl =
        raw.nameIndex === ext4.XATTR_INDEX_POSIX_ACL_ACCESS ||
        raw.nameIndex === ext4.XATTR_INDEX_POSIX_ACL_DEFAULT;
      xattrs.set(name, isAcl ? aclFromDisk(value) : value);
    }
  }
  return xattrs;
}

async function xattrAreas(image: DiskImage, inode: Ext4Inode): Promise<XattrArea[]> {
  const areas: XattrArea[] = [];
  const { raw } = inode;
  const extraBytes = raw.length > GOOD_OLD_INODE_BYTES ? viewOf(raw).getUint16(0x80, true) : 0;
  const magicAt = GOOD_OLD_INODE_BYTES + extraBytes;
  // Without i_extra_isize, or without the magic number, what follows the fields means nothing.
  if (
    extraBytes > 0 &&
    magicAt + 4 <= raw.length &&
    viewOf(raw).getUint32(magicAt, true) === ext4.XATTR_MAGIC
  ) {
    const entriesOffset = magicAt + 4;
    const where = `inode ${inode.inodeNumber} xattrs`;
    areas.push({ where, bytes: raw, entriesOffset, valuesOrigin: entriesOffset, isBlock: false });
  }
  if (inode.xattrBlock !== 0) {
    const where = `inode ${inode.inodeNumber} xattr block ${inode.xattrBlock}`;
    const bytes = await image.readBlock(inode.xattrBlock, where);
    checkBlock(image, { where, bytes, diskBlock: inode.xattrBlock });
    areas.push({ where, bytes, entriesOffset: BLOCK_HEADER_BYTES, valuesOrigin: 0, isBlock: true });
  }
  return areas;
}

function checkBlock(image: DiskImage, block: { where: string; bytes: Uint8Array; diskBlock: number }): void {
  const { where, bytes } = block;
  const view = viewOf(bytes);
  const magic = view.getUint32(0, true);
  if (magic !== ext4.XATTR_MAGIC) {
    throw invalidImage(`${where} h_magic`, showBits(ext4.XATTR_MAGIC), showBits(magic));
  }
  const blockCount = view.getUint32(8, true);
  if (blockCount !== 1) throw invalidImage(`${where} h_blocks`, 1, blockCount);
  if (!image.superblock.hasMetadataChecksums) return;
  // "h_checksum": of the block's number in 64 bits and the block with the checksum as zeros.
  let crc = checksumNumber(image.superblock.checksumSeed, block.diskBlock % 2 ** 32);
  crc = checksumNumber(crc, Math.floor(block.diskBlock / 2 ** 32));
  crc = crc32c(crc, bytes.subarray(0, 0x10));
  crc = crc32c(crc, new Uint8Array(4));
  crc = crc32c(crc, bytes.subarray(0x14));
  requireChecksum(where, crc, view.getUint32(0x10, true));
}

function parseEntries(area: XattrArea): RawXattr[] {
  const { bytes } = area;
  const view = viewOf(bytes);
  const entries: RawXattr[] = [];
  let at = area.entriesOffset;
  // Four zero bytes end the list.
  for (;;) {
    if (at + 4 > bytes.length) throw invalidImage(area.where, "an end of the list", "none");
    if (view.getUint32(at, true) === 0) break;
    const where = `${area.where} offset ${at}`;
    const nameLength = view.getUint8(at);
    const nameAt = at + ENTRY_HEADER_BYTES;
    if (nameAt + nameLength > bytes.length) throw invalidImage(where, "a whole entry", "the end");
    entries.push({
      where,
      nameIndex: view.getUint8(at + 1),
      nameBytes: bytes.subarray(nameAt, nameAt + nameLength),
      valueAt: area.valuesOrigin + view.getUint16(at + 2, true),
      valueInode: view.getUint32(at + 4, true),
      valueBytes: view.getUint32(at + 8, true),
      hash: view.getUint32(at + 12, true),
    });
    at = (nameAt + nameLength + 3) & ~3;
  }
  const valuesStart = at + 4;
  for (const entry of entries) {
    if (entry.valueBytes > XATTR_VALUE_BYTES_MAX) {
      throw invalidImage(`${entry.where} e_value_size`, `at most ${XATTR_VALUE_BYTES_MAX}`, entry.valueBytes);
    }
    if (entry.valueInode !== 0 || entry.valueBytes === 0) continue;
    // A value's room is a multiple of 4 bytes.
    const end = entry.valueAt + ((entry.valueBytes + 3) & ~3);
    if (entry.valueAt < valuesStart || entry.valueAt % 4 !== 0 || end > bytes.length) {
      throw invalidImage(`${entry.where} value`, `in ${valuesStart} to ${bytes.length}`, entry.valueAt);
    }
  }
  if (area.isBlock) requireSorted(entries);
  return entries;
}

/** The kernel stops its search in a block at the first larger entry: number, length, then bytes of the name. */
function requireSorted(entries: readonly RawXattr[]): void {
  for (const [i, entry] of entries.entries()) {
    const before = entries[i - 1];
    if (before === undefined) continue;
    const order =
      before.nameIndex - entry.nameIndex ||
      before.nameBytes.length - entry.nameBytes.length ||
      (toByteString(before.nameBytes) < toByteString(entry.nameBytes) ? -1 : 1);
    if (order >= 0) throw invalidImage(entry.where, "names in order", showByteString(fullName(entry)));
  }
}

function fullName(raw: RawXattr): ByteString {
  const prefix = PREFIX_OF_INDEX.get(raw.nameIndex);
  if (prefix === undefined) {
    throw unsupportedImage(`${raw.where} e_name_index`, "1 to 4, 6 to 8, 10", raw.nameIndex);
  }
  const rest = toByteString(raw.nameBytes);
  const isWholeName = !prefix.endsWith(".");
  if (isWholeName !== (rest.length === 0) || rest.includes("\0")) {
    throw invalidImage(`${raw.where} name`, isWholeName ? "no suffix" : "a suffix", showByteString(rest));
  }
  return asByteString(prefix + rest);
}

async function readValue(from: {
  image: DiskImage;
  inode: Ext4Inode;
  area: XattrArea;
  raw: RawXattr;
}): Promise<Uint8Array> {
  const { image, inode, area, raw } = from;
  if (raw.valueInode !== 0) return readValueInode(image, inode, raw);
  // e_hash may be 0 in the inode itself, where old kernels did not set it (e2fsck accepts that too).
  if (raw.hash !== 0 || area.isBlock) {
    const padded = area.bytes.subarray(raw.valueAt, raw.valueAt + ((raw.valueBytes + 3) & ~3));
    requireHash(raw, raw.valueBytes === 0 ? new Uint8Array(0) : padded);
  }
  return raw.valueBytes === 0
    ? new Uint8Array(0)
    : area.bytes.slice(raw.valueAt, raw.valueAt + raw.valueBytes);
}

/** Feature ea_inode: the value is the content of an inode of its own. */
async function readValueInode(image: DiskImage, inode: Ext4Inode, raw: RawXattr): Promise<Uint8Array> {
  if ((image.superblock.incompatFeatures & ext4.INCOMPAT_EA_INODE) === 0) {
    throw invalidImage(`${raw.where} e_value_inum`, "0 without feature ea_inode", raw.valueInode);
  }
  const holder = await readInode(image, raw.valueInode);
  if (holder.type !== "file" || (holder.flags & ext4.EXT4_EA_INODE_FL) === 0) {
    throw invalidImage(`${raw.where} e_value_inum`, "an inode for a value", `inode ${raw.valueInode}`);
  }
  if (holder.sizeBytes !== raw.valueBytes) {
    throw invalidImage(`${raw.where} e_value_size`, holder.sizeBytes, raw.valueBytes);
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of readContent(image, holder, {})) pieces.push(piece);
  const value = concatBytes(...pieces);
  // Lustre's older form has a reference to its owner where the hash would be.
  const isLustre = holder.mtime.seconds === inode.inodeNumber && holder.generation === inode.generation;
  if (isLustre) return value;
  // i_atime is the value's crc32c, and the entry's hash is made of it in place of the value.
  const valueHash = viewOf(holder.raw).getUint32(0x8, true);
  const computed = crc32c(image.superblock.checksumSeed, value);
  requireChecksum(`inode ${holder.inodeNumber} value`, computed, valueHash);
  const hashBytes = new Uint8Array(4);
  viewOf(hashBytes).setUint32(0, valueHash, true);
  requireHash(raw, hashBytes);
  return value;
}

function requireHash(raw: RawXattr, value: Uint8Array): void {
  const unsigned = entryHash(raw.nameBytes, value);
  // Kernels before 6.3 made the hash of names with bytes above 127 with signed characters, if `char` was.
  const signed = entryHash(Int8Array.from(raw.nameBytes), value);
  if (raw.hash !== unsigned && raw.hash !== signed) {
    throw invalidImage(`${raw.where} e_hash`, showBits(unsigned), showBits(raw.hash));
  }
}

/** The kernel's ext4_xattr_hash_entry: NAME_HASH_SHIFT 5 over the name, VALUE_HASH_SHIFT 16 over 32-bit words. */
function entryHash(name: Iterable<number>, value: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = (hash << 5) ^ (hash >>> 27) ^ byte;
  const view = viewOf(value);
  for (let at = 0; at < value.length; at += 4) {
    hash = (hash << 16) ^ (hash >>> 16) ^ view.getInt32(at, true);
  }
  return hash >>> 0;
}
