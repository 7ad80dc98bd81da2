/** The bound on what one connection has under way. */
import { assert } from "../base/error.ts";

/** How much may be under way. */
export interface SlotLimits {
  readonly countMax: number;
  readonly bytesMax: number;
}

/** Counts requests and their bytes. One at a time may wait to enter. */
export class RequestSlots {
  readonly #limits: SlotLimits;
  #count = 0;
  #bytes = 0;
  #onLeave: (() => void) | undefined;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  /** True, and the request has entered, where there is room for it. */
  tryEnter(sizeBytes: number): boolean {
    assert(sizeBytes <= this.#limits.bytesMax, "a request fits where nothing else is under way");
    if (this.#count >= this.#limits.countMax || this.#bytes + sizeBytes > this.#limits.bytesMax) return false;
    this.#count++;
    this.#bytes += sizeBytes;
    return true;
  }

  /** Resolves when the request has entered. */
  async enter(sizeBytes: number): Promise<void> {
    while (!this.tryEnter(sizeBytes)) await this.#nextLeave();
  }

  leave(sizeBytes: number): void {
    this.#count--;
    this.#bytes -= sizeBytes;
    assert(this.#count >= 0 && this.#bytes >= 0, "what leaves has entered");
    const onLeave = this.#onLeave;
    this.#onLeave = undefined;
    onLeave?.();
  }

  /** Resolves when nothing is under way. */
  async empty(): Promise<void> {
    while (this.#count > 0) await this.#nextLeave();
  }

  #nextLeave(): Promise<void> {
    assert(this.#onLeave === undefined, "one waits at a time");
    return new Promise((resolve) => {
      this.#onLeave = resolve;
    });
  }
}
