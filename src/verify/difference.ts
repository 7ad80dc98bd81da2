/** What two ways to the same thing do not agree on. */
import { showByteString, type ByteString } from "../base/bytes.ts";

/** One fact about one path (empty where it is about the whole image). */
export interface Difference {
  readonly path: ByteString;
  readonly field: string;
  readonly expected: string | number;
  readonly found: string | number;
}

/** The most differences that are kept of one comparison; the rest is counted. */
const DIFFERENCE_COUNT_MAX = 1000;

/** Keeps the first differences and counts the rest. */
export class DifferenceList {
  readonly #kept: Difference[] = [];
  #more = 0;

  get kept(): readonly Difference[] {
    return this.#kept;
  }

  /** Differences that are not kept. */
  get more(): number {
    return this.#more;
  }

  add(difference: Difference): void {
    if (this.#kept.length < DIFFERENCE_COUNT_MAX) this.#kept.push(difference);
    else this.#more++;
  }

  /** Adds what another list has. */
  addAll(other: DifferenceList): void {
    for (const difference of other.kept) this.add(difference);
    this.#more += other.more;
  }

  /** Adds a difference where the two are not the same. */
  compare(path: ByteString, field: string, sides: Pick<Difference, "expected" | "found">): void {
    if (sides.expected !== sides.found) this.add({ path, field, ...sides });
  }

  /** As `compare`, for names and targets: bytes that can be shown in one way only if they are the same. */
  compareBytes(
    path: ByteString,
    field: string,
    sides: { readonly expected: ByteString; readonly found: ByteString },
  ): void {
    const { expected, found } = sides;
    if (expected === found) return;
    this.add({ path, field, expected: showByteString(expected), found: showByteString(found) });
  }
}
