/**
 * Typed access to JSON documents of images. Every value knows where it stands, so that a refusal reads
 * `image manifest sha256:…: layers[2].digest: expected …, found …`.
 */
import { LambdaImgError } from "../base/error.ts";

/** A value of a document, and its place: `layers[2].digest`; the document itself has the empty path. */
export interface JsonAt {
  readonly value: unknown;
  readonly document: string;
  readonly path: string;
}

/**
 * Reads a document, which must be one JSON object in UTF-8 without a byte order mark (RFC 8259 8.1) and
 * without a member named twice: readers differ in which of the two they take.
 * @throws OCI_INVALID
 */
export function parseDocument(bytes: Uint8Array, document: string): JsonAt {
  const at = parseAny(bytes, document);
  objectOf(at);
  return at;
}

/** As parseDocument, for a document whose root is an array (docker-archive's manifest.json). */
export function parseArrayDocument(bytes: Uint8Array, document: string): readonly JsonAt[] {
  return elements(parseAny(bytes, document));
}

/** The member of an object; `undefined` where it is absent or null (Go writes null for what is empty). */
export function member(at: JsonAt, name: string): JsonAt | undefined {
  const object = objectOf(at);
  // Own members only: `__proto__` and `constructor` are names like any other.
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  if (value === undefined || value === null) return undefined;
  return { value, document: at.document, path: at.path === "" ? name : `${at.path}.${name}` };
}

/** The member of an object, which must be there. */
export function requiredMember(at: JsonAt, name: string): JsonAt {
  const found = member(at, name);
  if (found === undefined) {
    throw invalid({ ...at, path: at.path === "" ? name : `${at.path}.${name}` }, "it is missing");
  }
  return found;
}

/** The elements of an array; none where it is absent. */
export function elements(at: JsonAt | undefined): readonly JsonAt[] {
  if (at === undefined) return [];
  const { value } = at;
  if (!isArray(value)) throw invalid(at, `expected an array, found ${show(value)}`);
  return value.map((element, index) => ({
    value: element,
    document: at.document,
    path: `${at.path}[${index}]`,
  }));
}

/** The members of an object, in no promised order; none where it is absent. */
export function members(at: JsonAt | undefined): readonly (readonly [string, JsonAt])[] {
  if (at === undefined) return [];
  return Object.entries(objectOf(at)).map(([name, value]) => [
    wellFormed(name),
    { value, document: at.document, path: `${at.path}[${JSON.stringify(name.slice(0, 100))}]` },
  ]);
}

/** A string; lone surrogates become U+FFFD, as in Go, since they have no UTF-8 form. */
export function stringOf(at: JsonAt): string {
  if (typeof at.value !== "string") throw invalid(at, `expected a string, found ${show(at.value)}`);
  return wellFormed(at.value);
}

/** A string; empty where it is absent. */
export function optionalString(at: JsonAt | undefined): string {
  return at === undefined ? "" : stringOf(at);
}

/** The strings of an array; none where it is absent. */
export function stringsOf(at: JsonAt | undefined): readonly string[] {
  return elements(at).map(stringOf);
}

/** An integer from 0 to 2^53 - 1. */
export function countOf(at: JsonAt): number {
  const { value } = at;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(at, `expected a whole number that is not negative, found ${show(value)}`);
  }
  return value;
}

/** True where the object has the member, and it is not null. */
export function hasMember(at: JsonAt, name: string): boolean {
  return member(at, name) !== undefined;
}

/** Where a value stands, for messages of others. */
export function placeOf(at: JsonAt): string {
  return at.path === "" ? at.document : `${at.document}: ${at.path}`;
}

/** The refusal of a value. */
export function invalid(at: JsonAt, message: string): LambdaImgError {
  return new LambdaImgError("OCI_INVALID", `${placeOf(at)}: ${message}`);
}

/** A value for messages, cut where it is long. */
export function show(value: unknown): string {
  if (value === null) return "null";
  if (isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "string")
    return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
  return typeof value === "number" || typeof value === "boolean" ? String(value) : typeof value;
}

function parseAny(bytes: Uint8Array, document: string): JsonAt {
  try {
    // A byte order mark stays in, so that JSON.parse refuses it.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    const twice = duplicateMember(text);
    if (twice !== undefined) {
      throw new LambdaImgError(
        "OCI_INVALID",
        `${document}: the member ${show(twice)} stands twice in one object`,
      );
    }
    return { value, document, path: "" };
  } catch (cause) {
    if (cause instanceof LambdaImgError) throw cause;
    const why = cause instanceof SyntaxError ? "it cannot be parsed" : "it is not UTF-8";
    throw new LambdaImgError("OCI_INVALID", `${document}: not a JSON document: ${why}`, { cause });
  }
}

/** The first member name that one object has twice. The text is valid JSON, so this only looks for strings. */
function duplicateMember(text: string): string | undefined {
  // One set of names for each open object, undefined for each open array.
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(undefined);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const end = stringEnd(text, at);
      if (isFollowedByColon(text, end)) {
        const name: unknown = JSON.parse(text.slice(at, end));
        const names = open.at(-1);
        if (typeof name === "string" && names?.has(name) === true) return name;
        if (typeof name === "string") names?.add(name);
      }
      at = end - 1;
    }
  }
  return undefined;
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\r" || text[at] === "\t") at++;
  return text[at] === ":";
}

function objectOf(at: JsonAt): Readonly<Record<string, unknown>> {
  if (!isObject(at.value)) throw invalid(at, `expected an object, found ${show(at.value)}`);
  return at.value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isArray(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function wellFormed(text: string): string {
  // In a regular expression with `u`, \p{Cs} matches surrogates that are not half of a pair.
  return text.replace(/\p{Cs}/gu, "\ufffd");
}
