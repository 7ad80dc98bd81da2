/** Messages of the handshake as bytes (proto.md, "Newstyle negotiation" and "Option types"). */
import { concatBytes, viewOf } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { STRING_BYTES_MAX } from "./_limit.ts";
import { IHAVEOPT, HANDSHAKE_FLAG, INFORMATION, NBD_MAGIC, OPTION_REPLY_MAGIC } from "./protocol.ts";

export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;

/** The head of an option; `sizeBytes` bytes follow it, if the client keeps its word. */
export interface OptionHeader {
  readonly option: number;
  readonly sizeBytes: number;
}

/** What NBD_OPT_INFO and NBD_OPT_GO carry. */
export interface ExportRequest {
  readonly name: string;
  /** Kinds of NBD_REP_INFO that the client would like. */
  readonly kinds: ReadonlySet<number>;
}

/** What NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT carry. */
export interface ContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** What the server says first. */
export function encodeGreeting(): Uint8Array {
  const bytes = new Uint8Array(18);
  const view = viewOf(bytes);
  view.setUint32(0, NBD_MAGIC.high);
  view.setUint32(4, NBD_MAGIC.low);
  view.setUint32(8, IHAVEOPT.high);
  view.setUint32(12, IHAVEOPT.low);
  view.setUint16(16, HANDSHAKE_FLAG.FIXED_NEWSTYLE | HANDSHAKE_FLAG.NO_ZEROES);
  return bytes;
}

/** @throws NBD_PROTOCOL for flags that the server did not offer ("Client flags": it MUST drop the connection) */
export function decodeClientFlags(bytes: Uint8Array): { isFixed: boolean; hasNoZeroes: boolean } {
  const flags = viewOf(bytes).getUint32(0);
  const known = HANDSHAKE_FLAG.FIXED_NEWSTYLE | HANDSHAKE_FLAG.NO_ZEROES;
  if ((flags & ~known) !== 0) {
    throw new LambdaImgError("NBD_PROTOCOL", `handshake: expected client flags 0 to 3, found ${flags}`);
  }
  return {
    isFixed: (flags & HANDSHAKE_FLAG.FIXED_NEWSTYLE) !== 0,
    hasNoZeroes: (flags & HANDSHAKE_FLAG.NO_ZEROES) !== 0,
  };
}

/** @throws NBD_PROTOCOL where the magic number is wrong */
export function decodeOptionHeader(bytes: Uint8Array): OptionHeader {
  const view = viewOf(bytes);
  if (view.getUint32(0) !== IHAVEOPT.high || view.getUint32(4) !== IHAVEOPT.low) {
    throw new LambdaImgError("NBD_PROTOCOL", "handshake: expected the magic number of an option");
  }
  return { option: view.getUint32(8), sizeBytes: view.getUint32(12) };
}

/** The body of NBD_OPT_INFO or NBD_OPT_GO; undefined where it is malformed. */
export function decodeExportRequest(body: Uint8Array): ExportRequest | undefined {
  const name = decodeSized(body, 0);
  if (name === undefined) return undefined;
  const view = viewOf(body);
  if (name.end + 2 > body.length) return undefined;
  const count = view.getUint16(name.end);
  if (name.end + 2 + 2 * count !== body.length) return undefined;
  const kinds = new Set<number>();
  for (let index = 0; index < count; index++) kinds.add(view.getUint16(name.end + 2 + 2 * index));
  return { name: name.text, kinds };
}

/** The body of an option about metadata contexts; undefined where it is malformed. */
export function decodeContextRequest(body: Uint8Array): ContextRequest | undefined {
  const name = decodeSized(body, 0);
  if (name === undefined || name.end + 4 > body.length) return undefined;
  const count = viewOf(body).getUint32(name.end);
  const queries: string[] = [];
  let end = name.end + 4;
  // Each query takes four bytes at least, so the body bounds the loop whatever the count says.
  while (queries.length < count) {
    const query = decodeSized(body, end);
    if (query === undefined) return undefined;
    queries.push(query.text);
    end = query.end;
  }
  return end === body.length ? { name: name.text, queries } : undefined;
}

/** A string (proto.md, "Conventions"): UTF-8, no NUL, at most 4096 bytes; undefined for anything else. */
export function decodeString(bytes: Uint8Array): string | undefined {
  if (bytes.length > STRING_BYTES_MAX || bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined; // The decoder has one way to fail: the bytes are not UTF-8.
  }
}

/** A reply to an option. An error reply may carry a text for people. */
export function encodeOptionReply(option: number, type: number, payload?: Uint8Array): Uint8Array {
  const head = new Uint8Array(20);
  const view = viewOf(head);
  view.setUint32(0, OPTION_REPLY_MAGIC.high);
  view.setUint32(4, OPTION_REPLY_MAGIC.low);
  view.setUint32(8, option);
  view.setUint32(12, type);
  view.setUint32(16, payload?.length ?? 0);
  return payload === undefined ? head : concatBytes(head, payload);
}

/** A text as UTF-8, cut behind the last character that a string has room for. */
export function encodeString(text: string): Uint8Array {
  const bytes = new Uint8Array(STRING_BYTES_MAX);
  return bytes.subarray(0, new TextEncoder().encodeInto(text, bytes).written);
}

/** NBD_REP_SERVER: an export of the list. */
export function encodeListed(name: string, description: string): Uint8Array {
  const nameBytes = encodeString(name);
  return concatBytes(encodeUint32(nameBytes.length), nameBytes, encodeString(description));
}

/** NBD_REP_META_CONTEXT. */
export function encodeContext(contextNumber: number, name: string): Uint8Array {
  return concatBytes(encodeUint32(contextNumber), encodeString(name));
}

/** What the client must know of an export. */
export interface ExportFacts {
  readonly sizeBytes: number;
  /** NBD_FLAG_* */
  readonly flags: number;
}

/** NBD_INFO_EXPORT. */
export function encodeExportFacts(facts: ExportFacts): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, INFORMATION.EXPORT);
  view.setBigUint64(2, BigInt(facts.sizeBytes));
  view.setUint16(10, facts.flags);
  return bytes;
}

/** NBD_INFO_NAME or NBD_INFO_DESCRIPTION. */
export function encodeExportText(kind: number, text: string): Uint8Array {
  return concatBytes(Uint8Array.of(kind >>> 8, kind & 0xff), encodeString(text));
}

/** NBD_INFO_BLOCK_SIZE. */
export function encodeBlockSizes(sizes: {
  readonly minimumBytes: number;
  readonly preferredBytes: number;
  readonly maximumBytes: number;
}): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = viewOf(bytes);
  view.setUint16(0, INFORMATION.BLOCK_SIZE);
  view.setUint32(2, sizes.minimumBytes);
  view.setUint32(6, sizes.preferredBytes);
  view.setUint32(10, sizes.maximumBytes);
  return bytes;
}

/** The answer to NBD_OPT_EXPORT_NAME, which has no header. */
export function encodeExportNameReply(facts: ExportFacts, hasNoZeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(hasNoZeroes ? 10 : 134);
  const view = viewOf(bytes);
  view.setBigUint64(0, BigInt(facts.sizeBytes));
  view.setUint16(8, facts.flags);
  return bytes;
}

function encodeUint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value);
  return bytes;
}

/** A string behind its length at `at`, with where it ends. */
function decodeSized(body: Uint8Array, at: number): { text: string; end: number } | undefined {
  if (at + 4 > body.length) return undefined;
  const end = at + 4 + viewOf(body).getUint32(at);
  if (end > body.length) return undefined;
  const text = decodeString(body.subarray(at + 4, end));
  return text === undefined ? undefined : { text, end };
}
