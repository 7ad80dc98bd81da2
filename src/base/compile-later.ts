/** How soon V8 compiles what runs often. */
/** What V8 11.3 has by itself (Node 20). From V8 12 on a quick compiler comes before the optimizing one, which waits longer. */
const BUDGET_BYTES_DEFAULT = 66 * 1024;
const WAITS_AS_LONG = 8;

/**
 * Makes V8 wait eight times as long before it gives a function to its optimizing compiler, where it is one that waits too short.
 * For a command of a few seconds that keeps all processors busy: what is compiled in that time takes a seventh of its
 * CPU time, and comes too late to give that back (docs/architecture.md, "Threads").
 *
 * Not while a thread starts: code that was compiled before, as Node's own was when it was built, is good for V8 only with the flags of
 * then. A thread compiles all that it starts with anew otherwise, which takes 40 ms more.
 */
export class CompileLater {
  readonly #isOf: boolean;
  readonly #setFlag: (flag: string) => void;
  #isWanted = false;
  #startingCount = 0;
  #isSet = false;

  constructor(v8Version: string, setFlag: (flag: string) => void) {
    // Another V8 would not know the flag, and say so on stderr.
    this.#isOf = v8Version.startsWith("11.3.");
    this.#setFlag = setFlag;
  }

  /** From now on, whenever no thread is starting. */
  begin(): void {
    this.#isWanted = true;
    this.#apply();
  }

  /** As V8 has it by itself, as before `begin`. */
  end(): void {
    this.#isWanted = false;
    this.#apply();
  }

  /** Says that a thread begins to start. Call what is returned when it has started, or never will; again is nothing. */
  threadStarts(): () => void {
    this.#startingCount++;
    this.#apply();
    let isStarting = true;
    return () => {
      if (!isStarting) return;
      isStarting = false;
      this.#startingCount--;
      this.#apply();
    };
  }

  #apply(): void {
    const isSet = this.#isOf && this.#isWanted && this.#startingCount === 0;
    if (isSet === this.#isSet) return;
    this.#isSet = isSet;
    this.#setFlag(`--interrupt-budget=${(isSet ? WAITS_AS_LONG : 1) * BUDGET_BYTES_DEFAULT}`);
  }
}
