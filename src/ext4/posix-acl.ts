/**
 * POSIX access control lists in their two binary forms: what getxattr(2) gives and tars carry (version 2,
 * include/uapi/linux/posix_acl_xattr.h), and what ext4 stores (version 1, fs/ext4/acl.h), where entries
 * that name nobody have no id.
 */
import { viewOf } from "../base/bytes.ts";
import { type ErrorCode, LambdaImgError } from "../base/error.ts";

const XATTR_VERSION = 2;
const DISK_VERSION = 1;
const HEADER_BYTES = 4;
const LONG_ENTRY_BYTES = 8;
const SHORT_ENTRY_BYTES = 4;
/** ACL_UNDEFINED_ID, the id of entries that name nobody. */
const UNDEFINED_ID = 0xffffffff;

const ACL_USER_OBJ = 0x01;
const ACL_USER = 0x02;
const ACL_GROUP_OBJ = 0x04;
const ACL_GROUP = 0x08;
const ACL_MASK = 0x10;
const ACL_OTHER = 0x20;
const PERMISSION_BITS = 7;

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/**
 * The value of `system.posix_acl_access` or `system.posix_acl_default` as ext4 stores it, in fresh memory.
 * @throws TREE_INVALID where the kernel would refuse the value (posix_acl_valid), or where it has no entries
 */
export function aclToDisk(value: Uint8Array): Uint8Array {
  const entries: AclEntry[] = [];
  const view = viewOf(value);
  requireVersion("TREE_INVALID", value, XATTR_VERSION);
  if (value.length % LONG_ENTRY_BYTES !== HEADER_BYTES) {
    throw invalidAcl("TREE_INVALID", "4 bytes and 8 for each entry", `${value.length} bytes`);
  }
  for (let at = HEADER_BYTES; at < value.length; at += LONG_ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const permissions = view.getUint16(at + 2, true);
    entries.push({ tag, permissions, id: view.getUint32(at + 4, true) });
  }
  requireValid("TREE_INVALID", entries);
  let sizeBytes = HEADER_BYTES;
  for (const entry of entries) sizeBytes += namesSomebody(entry) ? LONG_ENTRY_BYTES : SHORT_ENTRY_BYTES;
  return encode(entries, DISK_VERSION, sizeBytes);
}

/**
 * The value as getxattr(2) would give it, in fresh memory.
 * @throws DISK_IMAGE_INVALID where the list is malformed
 */
export function aclFromDisk(value: Uint8Array): Uint8Array {
  const entries: AclEntry[] = [];
  const view = viewOf(value);
  requireVersion("DISK_IMAGE_INVALID", value, DISK_VERSION);
  let at = HEADER_BYTES;
  while (at < value.length) {
    const isWhole = at + SHORT_ENTRY_BYTES <= value.length;
    const tag = isWhole ? view.getUint16(at, true) : 0;
    const sizeBytes = namesSomebody({ tag }) ? LONG_ENTRY_BYTES : SHORT_ENTRY_BYTES;
    if (!isWhole || at + sizeBytes > value.length) {
      throw invalidAcl("DISK_IMAGE_INVALID", "whole entries", `${value.length} bytes`);
    }
    const id = sizeBytes === LONG_ENTRY_BYTES ? view.getUint32(at + 4, true) : UNDEFINED_ID;
    entries.push({ tag, permissions: view.getUint16(at + 2, true), id });
    at += sizeBytes;
  }
  requireValid("DISK_IMAGE_INVALID", entries);
  return encode(entries, XATTR_VERSION, HEADER_BYTES + entries.length * LONG_ENTRY_BYTES);
}

function invalidAcl(code: ErrorCode, expected: string | number, found: string | number): LambdaImgError {
  const details = { where: "POSIX ACL", expected, found };
  return new LambdaImgError(code, `POSIX ACL: expected ${expected}, found ${found}`, { details });
}

function requireVersion(code: ErrorCode, value: Uint8Array, expected: number): void {
  if (value.length < HEADER_BYTES) throw invalidAcl(code, "at least 4 bytes", `${value.length} bytes`);
  const version = viewOf(value).getUint32(0, true);
  if (version !== expected) throw invalidAcl(code, `version ${expected}`, `version ${version}`);
}

function namesSomebody(entry: { readonly tag: number }): boolean {
  return entry.tag === ACL_USER || entry.tag === ACL_GROUP;
}

/** The kernel's posix_acl_valid: user, named users, group, named groups, mask, other, in this order. */
function requireValid(code: ErrorCode, entries: readonly AclEntry[]): void {
  /** Tags that may come next; as bits, since tags are. */
  let allowed: number = ACL_USER_OBJ;
  let needsMask = false;
  for (const { tag, permissions, id } of entries) {
    if (permissions > PERMISSION_BITS) throw invalidAcl(code, "permissions 0 to 7", permissions);
    if (!isTag(tag) || (allowed & tag) === 0) throw invalidAcl(code, "entries in order", `tag ${tag}`);
    if (namesSomebody({ tag }) && id === UNDEFINED_ID) throw invalidAcl(code, "an id", id);
    if (tag === ACL_USER_OBJ) allowed = ACL_USER | ACL_GROUP_OBJ;
    else if (tag === ACL_USER) needsMask = true;
    else if (tag === ACL_GROUP_OBJ) allowed = ACL_GROUP | ACL_MASK | ACL_OTHER;
    else if (tag === ACL_GROUP) needsMask = true;
    else if (tag === ACL_MASK) allowed = ACL_OTHER;
    else allowed = 0;
    if (needsMask && allowed & ACL_OTHER && tag !== ACL_MASK) allowed = ACL_GROUP | ACL_MASK;
  }
  const isComplete = entries.length > 0 && allowed === 0;
  if (!isComplete) throw invalidAcl(code, "an entry for others at the end", `${entries.length} entries`);
}

function isTag(tag: number): boolean {
  return tag > 0 && tag <= ACL_OTHER && (tag & (tag - 1)) === 0;
}

function encode(entries: readonly AclEntry[], version: number, sizeBytes: number): Uint8Array {
  const encoded = new Uint8Array(sizeBytes);
  const view = viewOf(encoded);
  view.setUint32(0, version, true);
  let at = HEADER_BYTES;
  for (const entry of entries) {
    const hasId = version === XATTR_VERSION || namesSomebody(entry);
    view.setUint16(at, entry.tag, true);
    view.setUint16(at + 2, entry.permissions, true);
    if (hasId) view.setUint32(at + 4, namesSomebody(entry) ? entry.id : UNDEFINED_ID, true);
    at += hasId ? LONG_ENTRY_BYTES : SHORT_ENTRY_BYTES;
  }
  return encoded;
}
