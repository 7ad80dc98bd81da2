/** Order among calls for ranges that overlap; calls for others do not wait. */

import { unlessAborted } from "../base/cancel.ts";

/** Pages that a call is about. */
export interface PageRange {
  readonly firstPage: number;
  readonly endPage: number;
  /** False for calls that only read: those do not wait for each other. */
  readonly isExclusive: boolean;
}

interface Holder {
  readonly range: PageRange;
  readonly done: Promise<void>;
}

/**
 * Lets a call begin when all calls before it that overlap it, and of which one is exclusive, have ended. Who waits
 * waits for earlier calls only, so that calls cannot wait for each other in a circle.
 */
export class RangeQueue {
  readonly #holders: Set<Holder> = new Set();

  /** Runs the work in its turn. @throws CANCELLED where the signal comes before that */
  async run<T>(range: PageRange, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#conflictsOf(range);
    let end: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      end = resolve;
    });
    const holder = { range, done };
    this.#holders.add(holder);
    try {
      // As many as the caller has calls under way; none of these promises rejects.
      if (before.length > 0) await unlessAborted(Promise.all(before), signal);
      return await work();
    } finally {
      this.#holders.delete(holder);
      end();
    }
  }

  #conflictsOf(range: PageRange): Promise<void>[] {
    const found: Promise<void>[] = [];
    for (const holder of this.#holders) {
      const { firstPage, endPage, isExclusive } = holder.range;
      const isApart = endPage <= range.firstPage || range.endPage <= firstPage;
      if (!isApart && (isExclusive || range.isExclusive)) found.push(holder.done);
    }
    return found;
  }
}
