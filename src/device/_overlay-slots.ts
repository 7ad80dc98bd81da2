/** The room for an overlay's pages: which slots are taken, and the seal of each. */
import { assert } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import { SEAL_BYTES } from "../crypto/overlay-seal.ts";

const SLAB_SLOTS = 1024;
const WORD_BITS = 32;

/**
 * Slots numbered from zero. One that was never taken is given out only when no other is free, so that what holds
 * the slots grows no larger than it must; those that are free are given out in ascending runs.
 */
export class SlotTable {
  readonly #slotCount: number;
  /** A bit for each slot below `#end`; set where it is taken. */
  #taken: Uint32Array = new Uint32Array(SLAB_SLOTS / WORD_BITS);
  readonly #seals: Uint8Array[] = [];
  /** Above all slots that were ever taken. */
  #end = 0;
  #freeBelowEnd = 0;
  /** Where the search for a free slot goes on. */
  #cursor = 0;

  constructor(slotCount: number) {
    this.#slotCount = slotCount;
  }

  /** Slots that can be taken. */
  get freeCount(): number {
    return this.#slotCount - this.#end + this.#freeBelowEnd;
  }

  /** Takes slots, in ascending order; there are as many. */
  take(count: number): readonly number[] {
    assert(count <= this.freeCount, "there are as many free slots");
    const slots: number[] = [];
    while (slots.length < count && this.#freeBelowEnd > 0) slots.push(this.#takeFreed());
    slots.sort((left, right) => left - right);
    while (slots.length < count) {
      const slot = this.#end++;
      this.#reserve(slot);
      this.#mark(slot);
      slots.push(slot);
    }
    return slots;
  }

  /** Takes this one; false where it is taken or there is no such slot. */
  takeAt(slot: number): boolean {
    if (slot >= this.#slotCount) return false;
    if (slot < this.#end) {
      if (this.#isTaken(slot)) return false;
      this.#freeBelowEnd--;
    } else {
      this.#freeBelowEnd += slot - this.#end;
      this.#end = slot + 1;
      this.#reserve(slot);
    }
    this.#mark(slot);
    return true;
  }

  /** Gives a slot back. */
  release(slot: number): void {
    assert(slot < this.#end && this.#isTaken(slot), "the slot is taken");
    const word = Math.floor(slot / WORD_BITS);
    this.#taken[word] = (this.#taken[word] ?? 0) & ~(1 << (slot % WORD_BITS));
    this.#freeBelowEnd++;
  }

  /** The place of the slot's seal, as a view that may be written. */
  sealOf(slot: number): Uint8Array {
    const slabIndex = Math.floor(slot / SLAB_SLOTS);
    while (this.#seals.length <= slabIndex) this.#seals.push(new Uint8Array(SLAB_SLOTS * SEAL_BYTES));
    const at = (slot % SLAB_SLOTS) * SEAL_BYTES;
    const seal = this.#seals[slabIndex]?.subarray(at, at + SEAL_BYTES);
    assert(seal !== undefined, "the slab was made");
    return seal;
  }

  #takeFreed(): number {
    const wordCount = divCeil(this.#end, WORD_BITS);
    let word = Math.floor(this.#cursor / WORD_BITS) % wordCount;
    for (;;) {
      const isLast = word === wordCount - 1;
      const freeBits = ~(this.#taken[word] ?? 0) & (isLast ? bitsBelow(this.#end - word * WORD_BITS) : -1);
      if (freeBits !== 0) {
        // The lowest bit that is set.
        const slot = word * WORD_BITS + 31 - Math.clz32(freeBits & -freeBits);
        this.#mark(slot);
        this.#freeBelowEnd--;
        this.#cursor = slot;
        return slot;
      }
      word = isLast ? 0 : word + 1;
    }
  }

  #isTaken(slot: number): boolean {
    return (((this.#taken[Math.floor(slot / WORD_BITS)] ?? 0) >>> (slot % WORD_BITS)) & 1) === 1;
  }

  #mark(slot: number): void {
    const word = Math.floor(slot / WORD_BITS);
    this.#taken[word] = (this.#taken[word] ?? 0) | (1 << (slot % WORD_BITS));
  }

  /** Room in the bitmap for the slot. */
  #reserve(slot: number): void {
    if (slot < this.#taken.length * WORD_BITS) return;
    const wordCount = Math.max(2 * this.#taken.length, divCeil(slot + 1, WORD_BITS));
    const grown = new Uint32Array(wordCount);
    grown.set(this.#taken);
    this.#taken = grown;
  }
}

/** The lowest `count` bits, 1 to 32. */
function bitsBelow(count: number): number {
  return count >= WORD_BITS ? -1 : (1 << count) - 1;
}
