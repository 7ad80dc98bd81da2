/**
 * Maps of sparse files, all four forms (GNU tar manual, "Storing Sparse Files"): old GNU in header blocks, PAX 0.0 and
 * 0.1 in records, PAX 1.0 at the start of the body.
 */
import type { ByteString } from "../base/bytes.ts";
import { showByteString } from "../base/bytes.ts";
import { FILE_BYTES_MAX, SPARSE_REGION_COUNT_MAX } from "../base/limit.ts";
import type { TarPlace } from "./_error.ts";
import { tarError, tarInvalid } from "./_error.ts";
import { BLOCK_BYTES } from "./_header.ts";
import { parseDecimal, parseField, showNumber } from "./_number.ts";
import type { SparseRegion } from "./entry.ts";

/** The regions of one sparse file, checked one by one as they are read. */
export class SparseMap {
  readonly #place: TarPlace;
  readonly #path: ByteString;
  readonly #sizeBytes: number;
  readonly #regions: { offsetBytes: number; sizeBytes: number }[] = [];
  #endBytes = 0;
  #storedBytes = 0;
  #readCount = 0;

  /** `sizeBytes` is the file's size with its holes. */
  constructor(place: TarPlace, path: ByteString, sizeBytes: number) {
    this.#place = place;
    this.#path = path;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Takes the next region. Empty ones are dropped and adjacent ones become one, so that the same file gives the same
   * regions whatever wrote it.
   * @throws TAR_INVALID; DOCUMENT_TOO_LARGE for too many
   */
  add(offsetBytes: number, sizeBytes: number): void {
    this.checkCount(++this.#readCount);
    const isInside =
      offsetBytes >= this.#endBytes &&
      offsetBytes <= this.#sizeBytes &&
      sizeBytes >= 0 &&
      sizeBytes <= this.#sizeBytes - offsetBytes; // Not a sum: no precision to lose.
    if (!isInside) {
      throw this.#invalid(
        `a region between ${this.#endBytes} and ${this.#sizeBytes}`,
        `offset ${showNumber(offsetBytes)}, size ${showNumber(sizeBytes)}`,
      );
    }
    const last = this.#regions.at(-1);
    if (sizeBytes > 0 && last !== undefined && last.offsetBytes + last.sizeBytes === offsetBytes) {
      last.sizeBytes += sizeBytes;
    } else if (sizeBytes > 0) {
      this.#regions.push({ offsetBytes, sizeBytes });
    }
    this.#endBytes = offsetBytes + sizeBytes;
    this.#storedBytes += sizeBytes;
  }

  /** @throws DOCUMENT_TOO_LARGE for more regions than a map may have; TAR_INVALID for what is no count */
  checkCount(count: number): void {
    if (count <= SPARSE_REGION_COUNT_MAX) return;
    if (Number.isNaN(count)) throw this.#invalid("a number of regions", showNumber(count));
    const message = `sparse map of "${showByteString(this.#path)}": expected at most ${SPARSE_REGION_COUNT_MAX} regions, found ${showNumber(count)}`;
    throw tarError(this.#place, "DOCUMENT_TOO_LARGE", message, { limit: SPARSE_REGION_COUNT_MAX });
  }

  /** The regions, whose bytes must be what the archive stores; ends the map. @throws TAR_INVALID */
  finish(storedBytes: number): readonly SparseRegion[] {
    if (this.#storedBytes !== storedBytes) {
      throw this.#invalid(`regions of ${storedBytes} bytes in all`, `${this.#storedBytes}`);
    }
    return this.#regions;
  }

  /** TAR_INVALID about this map. */
  #invalid(expected: string, found: string): Error {
    return tarInvalid(
      this.#place,
      `sparse map of "${showByteString(this.#path)}": expected ${expected}, found ${found}`,
    );
  }

  /** Old GNU: `count` pairs of 12-byte fields at `offset`; a pair without an offset ends them. */
  addFields(block: Uint8Array, offset: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const at = offset + i * 24;
      if (block[at] === 0) return;
      this.add(parseField(block, at, 12), parseField(block, at + 12, 12));
    }
  }

  /** PAX 0.1: `offset,size,offset,size`. PAX 0.0 has the same numbers in records of their own. */
  addNumbers(numbers: readonly number[], count: number): void {
    if (numbers.length !== count * 2) {
      throw this.#invalid(`${showNumber(count)} regions`, `${numbers.length} numbers`);
    }
    for (let i = 0; i < numbers.length; i += 2) this.add(numbers[i] ?? NaN, numbers[i + 1] ?? NaN);
  }
}

/** The numbers of a GNU.sparse.map value; none for an empty one. */
export function parseSparseList(text: ByteString): readonly number[] {
  const numbers: number[] = [];
  if (text === "") return numbers;
  // One more than any legal map has, so that the count's check sees it, without taking millions.
  for (let at = 0; at <= text.length && numbers.length < SPARSE_REGION_COUNT_MAX * 2 + 2;) {
    const comma = text.indexOf(",", at);
    const end = comma < 0 ? text.length : comma;
    numbers.push(parseDecimal(text.slice(at, end) as ByteString));
    at = end + 1;
  }
  return numbers;
}

/**
 * PAX 1.0: the body begins with decimal numbers, each ended by a line feed: the count of regions, then offset and size
 * of each; padded with NULs to whole blocks.
 */
export class SparseMapText {
  readonly #map: SparseMap;
  readonly #place: TarPlace;
  #value = NaN;
  #count: number | undefined;
  #offsetBytes: number | undefined;
  #readCount = 0;

  constructor(map: SparseMap, place: TarPlace) {
    this.#map = map;
    this.#place = place;
  }

  /** Takes the next block; true when the map is complete with it. @throws as SparseMap.add */
  push(block: Uint8Array): boolean {
    for (let i = 0; i < BLOCK_BYTES; i++) {
      const byte = block[i] ?? 0;
      const digit = byte - 0x30;
      if (digit >= 0 && digit <= 9) {
        this.#value = (Number.isNaN(this.#value) ? 0 : this.#value) * 10 + digit;
        if (this.#value > Number.MAX_SAFE_INTEGER) this.#value = Infinity;
      } else if (byte === 0x0a && !Number.isNaN(this.#value)) {
        if (this.#takeNumber(this.#value)) return true;
        this.#value = NaN;
      } else {
        const found = `byte 0x${byte.toString(16)}`;
        throw tarInvalid(this.#place, `sparse map: expected decimal digits and line feeds, found ${found}`);
      }
    }
    return false;
  }

  #takeNumber(value: number): boolean {
    if (this.#count === undefined) {
      this.#map.checkCount(value);
      this.#count = value;
    } else if (this.#offsetBytes === undefined) {
      this.#offsetBytes = value;
    } else {
      this.#map.add(this.#offsetBytes, value);
      this.#offsetBytes = undefined;
      this.#readCount++;
    }
    return this.#readCount === this.#count;
  }
}

/** The file's size, holes included. @throws FILE_TOO_LARGE; TAR_INVALID for what is no size */
export function checkedFileSize(value: number, path: ByteString, place: TarPlace): number {
  if (value >= 0 && value <= FILE_BYTES_MAX) return value;
  const message = `size of "${showByteString(path)}": expected 0 to ${FILE_BYTES_MAX}, found ${showNumber(value)}`;
  throw value > 0
    ? tarError(place, "FILE_TOO_LARGE", message, { limitBytes: FILE_BYTES_MAX })
    : tarInvalid(place, message);
}
