/** Records once more, straight from docs/format/record.md, with the other implementation of noble.ts. */
import { gcm } from "@noble/ciphers/aes.js";
import { hmac } from "@noble/hashes/hmac.js";

import { derive, hex, join, sha256, u32, u64, unhex, utf8 } from "./noble.ts";

/** A number as the bits of its binary form, seven by seven from the end. */
export function varint(value: number): Uint8Array {
  const bits = BigInt(value).toString(2);
  const groups: number[] = [];
  for (let end = bits.length; end > 0; end -= 7)
    groups.push(parseInt(bits.slice(Math.max(0, end - 7), end), 2));
  return Uint8Array.from(groups, (group, i) => (i < groups.length - 1 ? group + 128 : group));
}

const signed = (value: number): Uint8Array =>
  value < 0 ? join(varint(1), varint(-value)) : join(varint(0), varint(value));
const counted = (bytes: Uint8Array): Uint8Array => join(varint(bytes.length), bytes);
/** One character a byte. */
const text = (characters: string): Uint8Array => counted(new Uint8Array(Buffer.from(characters, "latin1")));

/** An entry as the vectors have it: strings are bytes, one character each; values of attributes are hexadecimal. */
export interface VectorEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: readonly number[];
  readonly linkTarget: string;
  readonly device: readonly number[];
  readonly xattrs: readonly (readonly string[])[] | null;
  readonly body: { readonly sizeBytes: number; readonly runs: readonly (readonly number[])[] } | null;
}

const TYPES = ["file", "dir", "symlink", "hardlink", "char", "block", "fifo"];

export function entriesWithNoble(entries: readonly VectorEntry[]): Uint8Array {
  const pieces = [varint(entries.length)];
  entries.forEach((entry, i) => {
    const before = i === 0 ? "" : entries[i - 1]!.path;
    let shared = 0;
    while (shared < Math.min(before.length, entry.path.length) && before[shared] === entry.path[shared])
      shared++;
    pieces.push(varint(TYPES.indexOf(entry.type)), varint(shared), text(entry.path.slice(shared)));
    pieces.push(varint(entry.mode), varint(entry.uid), varint(entry.gid));
    pieces.push(signed(entry.mtime[0]!), varint(entry.mtime[1]!), text(entry.linkTarget));
    pieces.push(varint(entry.device[0]!), varint(entry.device[1]!));
    pieces.push(varint(entry.xattrs === null ? 0 : entry.xattrs.length + 1));
    for (const [name, value] of entry.xattrs ?? []) pieces.push(text(name!), counted(unhex(value!)));
    if (entry.body === null) return;
    pieces.push(varint(entry.body.sizeBytes), varint(entry.body.runs.length));
    for (const run of entry.body.runs) pieces.push(...run.map(varint));
  });
  return join(...pieces);
}

/** A segment as the vectors have it. */
export interface VectorSegment {
  readonly chunkCount: number;
  readonly chunks: readonly {
    readonly ordinal: number;
    readonly name: string;
    readonly key: string;
    readonly plainDigest: string;
  }[];
  readonly entries: readonly VectorEntry[];
}

export function segmentPartsWithNoble({ chunkCount, chunks, entries }: VectorSegment): {
  readonly clear: Uint8Array;
  readonly secrets: Uint8Array;
} {
  const header = join(utf8("LIMGSEGM"), u32(1), u32(524288), u32(chunkCount), u32(chunks.length));
  const table = chunks.flatMap(({ ordinal, name }) => [u32(ordinal), unhex(name)]);
  const keys = chunks.map(({ key }) => unhex(key));
  const digests = chunks.map(({ plainDigest }) => unhex(plainDigest));
  return { clear: join(header, ...table), secrets: join(...keys, ...digests, entriesWithNoble(entries)) };
}

export function segmentIdentityWithNoble(facts: {
  readonly diffId: string;
  readonly layoutVersion: number;
  readonly salt: string;
}): Uint8Array {
  const words = [text("segment"), text(facts.diffId), varint(facts.layoutVersion), varint(524288)];
  return join(...words, counted(unhex(facts.salt)));
}

/** `record`: the image record in canonical JSON, with zeros for its disk digest and without segments. */
export function conversionIdentityWithNoble(facts: {
  readonly record: string;
  readonly salt: string;
}): Uint8Array {
  const words = [text("conversion"), counted(utf8(facts.record)), varint(524288)];
  return join(...words, counted(unhex(facts.salt)));
}

export const conversionSecretsWithNoble = (manifestId: string, clampedTimeCount: number): Uint8Array =>
  join(text(manifestId), varint(clampedTimeCount));

export interface NobleRecord {
  readonly name: string;
  readonly contentMac: Uint8Array;
  readonly sealingKey: Uint8Array;
  readonly bytes: Uint8Array;
}

export function sealRecordWithNoble(use: {
  readonly customerKey: Uint8Array;
  readonly identity: Uint8Array;
  readonly clear: Uint8Array;
  readonly secrets: Uint8Array;
}): NobleRecord {
  const { customerKey, identity, clear, secrets } = use;
  const name = derive(customerKey, "lambda-img record name v1", identity);
  const macKey = derive(customerKey, "lambda-img record mac v1");
  const contentMac = hmac(sha256, macKey, join(name, u64(clear.length), clear, secrets));
  const sealingKey = derive(customerKey, "lambda-img record v1", contentMac);
  const sealed = gcm(sealingKey, new Uint8Array(12), clear).encrypt(secrets);
  return { name: hex(name), contentMac, sealingKey, bytes: join(clear, contentMac, sealed) };
}
