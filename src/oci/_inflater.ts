/** The WebAssembly inflater (assembly/inflate.ts) as an object: bytes in by copy, bytes out as views. */
import { copyInto } from "../base/bytes.ts";
import { AssertionError, assert, LambdaImgError } from "../base/error.ts";
import { INFLATE_CODE } from "./_inflate-code.ts";

/** What a step came to: it needs input, has as much output as fits, or has come to the end of the member. */
export type InflateStep = "need-input" | "output-full" | "member-end";

/** The deflate data is not what RFC 1951 says; the message says how. */
export class DeflateError extends Error {
  /** True where it ended too early. */
  readonly isTruncated: boolean;

  constructor(status: number) {
    super(FAILURES.get(status) ?? `failure ${status}`);
    this.isTruncated = status === TRUNCATED;
  }
}

/** Output that is in use for longer than until the next step. */
interface HeldOutput {
  readonly start: number;
  readonly until: Promise<void>;
  isOver: boolean;
}

/**
 * One inflater, with memory of its own that other threads can see: 1 MiB, and up to 8 more for output that is held. It does nothing by
 * itself: every step is synchronous.
 */
export class Inflater {
  readonly #code: InflateExports;
  readonly #memory: Uint8Array;
  readonly #inputStart: number;
  readonly #inputLimit: number;
  #inputEnd: number;
  #output: Uint8Array = new Uint8Array(0);
  /** In the order in which they were given, and so in that of the ring. */
  readonly #held: HeldOutput[] = [];

  private constructor(code: InflateExports) {
    this.#code = code;
    this.#memory = new Uint8Array(code.memory.buffer);
    this.#inputStart = code.inputStart.value;
    this.#inputLimit = this.#inputStart + code.inputBytesMax.value;
    this.#inputEnd = this.#inputStart;
  }

  /**
   * An inflater without input; give it back with `release`. Memory of WebAssembly takes 10 GiB of addresses, though a thousandth
   * of them is used, and keeps them until the collector comes by: so the inflaters of a process are used again.
   * @throws MEMORY_UNAVAILABLE
   */
  static async take(): Promise<Inflater> {
    const spare = spares.pop();
    if (spare !== undefined) return spare;
    compiled ??= WebAssembly.compile(Uint8Array.from(atob(INFLATE_CODE), (char) => char.charCodeAt(0)));
    const code = await compiled;
    try {
      const { exports } = await WebAssembly.instantiate(code, {});
      // What the module exports is ours, too: scripts/wasm.mjs.
      return new Inflater(exports as InflateExports);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new LambdaImgError(
        "MEMORY_UNAVAILABLE",
        "no memory to decompress with: expected 10 GiB of addresses for each layer that is read at a time, " +
          "found fewer (is there a limit on virtual memory, as by ulimit -v?)",
        { cause },
      );
    }
  }

  /** Ends the use of this object by whoever took it; views of its memory are good no longer, but for output that is held. */
  release(): void {
    this.#output = new Uint8Array(0);
    void this.#reuse();
  }

  /** Input that was given and not taken yet: a view that the next call of `give` or `inflate` ends. */
  get ahead(): Uint8Array {
    return this.#memory.subarray(this.#code.inputAt.value, this.#inputEnd);
  }

  /** What the last step gave: a view that the next step ends, unless it is held. */
  get output(): Uint8Array {
    return this.#output;
  }

  /** CRC-32 of what the member has given so far. */
  get checksum(): number {
    return this.#code.checksum.value >>> 0;
  }

  /** Copies as many of the bytes behind the input as there is room for, and returns how many. */
  give(bytes: Uint8Array): number {
    const { inputAt } = this.#code;
    this.#memory.copyWithin(this.#inputStart, inputAt.value, this.#inputEnd);
    this.#inputEnd -= inputAt.value - this.#inputStart;
    inputAt.value = this.#inputStart;
    const taken = bytes.subarray(0, this.#inputLimit - this.#inputEnd);
    copyInto(this.#memory, this.#inputEnd, taken);
    this.#inputEnd += taken.length;
    this.#memory.fill(0, this.#inputEnd, this.#inputEnd + INPUT_MARGIN_BYTES);
    return taken.length;
  }

  /** Takes bytes of the input that are not deflate data. */
  skip(sizeBytes: number): void {
    const { inputAt } = this.#code;
    inputAt.value += sizeBytes;
    assert(inputAt.value <= this.#inputEnd, "what is skipped is there");
  }

  /** Begins the deflate data of a member at the next byte of the input. */
  beginMember(): void {
    this.#code.beginMember();
  }

  /**
   * Waits until a step has room for its output; call it before each. What stands at the same place modulo 16 as in the
   * stream, counted from its first byte, stays so.
   * @throws what held output waits for
   */
  async makeRoom(): Promise<void> {
    for (;;) {
      const start = this.#roomStart();
      if (start !== undefined) {
        if (start !== this.#code.outputEnd.value) this.#code.moveOutput(start);
        return;
      }
      await this.#held[0]?.until;
    }
  }

  /** Keeps what the last step gave until that resolves, or fails. */
  hold(until: Promise<void>): void {
    const held: HeldOutput = { start: this.#output.byteOffset, until, isOver: false };
    const end = (): void => {
      held.isOver = true;
    };
    until.then(end, end);
    this.#held.push(held);
  }

  /**
   * Goes on with the member; `isAll` says that there is no more input than what was given.
   * @throws DeflateError
   */
  inflate({ isAll }: { readonly isAll: boolean }): InflateStep {
    const status = this.#code.inflate(this.#inputEnd, isAll ? 1 : 0);
    if (status < 0) throw new DeflateError(status);
    this.#output = this.#memory.subarray(this.#code.outputStart.value, this.#code.outputEnd.value);
    this.#code.take();
    const step = STEPS[status];
    if (step === undefined) throw new AssertionError(`the inflater answered ${status}`);
    return step;
  }

  /**
   * Where the next output can begin: at the ring's start where nothing is held, since what was there last is in the processor's
   * cache; else behind the last one, or at the start again, where that does not come to what is held for the longest time.
   */
  #roomStart(): number | undefined {
    while (this.#held[0]?.isOver === true) this.#held.shift();
    const { outputEnd, ringStart, ringEnd, outputRoomBytes } = this.#code;
    const end = outputEnd.value;
    const again = ringStart.value + (end % ALIGNMENT);
    const oldest = this.#held[0];
    if (oldest === undefined) return again;
    if (oldest.start >= end) return end + outputRoomBytes.value <= oldest.start ? end : undefined;
    if (end + outputRoomBytes.value <= ringEnd.value) return end;
    return again + outputRoomBytes.value <= oldest.start ? again : undefined;
  }

  /** Makes it one that can be taken, when nobody sees its memory any more. */
  async #reuse(): Promise<void> {
    await Promise.allSettled(this.#held.splice(0).map(({ until }) => until));
    this.#code.inputAt.value = this.#inputStart;
    this.#inputEnd = this.#inputStart;
    this.#code.moveOutput(this.#code.ringStart.value);
    if (spares.length < SPARES_MAX) spares.push(this);
  }
}

/** The part of the WebAssembly JavaScript API that is used; the types of Node 20 have none of it. */
declare const WebAssembly: {
  compile(code: Uint8Array): Promise<object>;
  instantiate(module: object, imports: object): Promise<{ readonly exports: unknown }>;
};

interface Global {
  readonly value: number;
}

interface InflateExports {
  readonly memory: { readonly buffer: SharedArrayBuffer };
  readonly inputStart: Global;
  readonly inputBytesMax: Global;
  readonly ringStart: Global;
  readonly ringEnd: Global;
  readonly outputRoomBytes: Global;
  readonly inputAt: { value: number };
  readonly outputStart: Global;
  readonly outputEnd: Global;
  readonly checksum: Global;
  beginMember(): void;
  take(): void;
  moveOutput(to: number): void;
  inflate(inputEnd: number, isAll: number): number;
}

let compiled: Promise<object> | undefined;

/** Kept for the next streams: about as many as are read at a time. */
const SPARES_MAX = 4;
const spares: Inflater[] = [];

/** As in assembly/inflate.ts. */
const INPUT_MARGIN_BYTES = 32;
/** What lies alike modulo so many is copied from shared memory by words; tars have blocks of 512 bytes. */
const ALIGNMENT = 16;
const STEPS: readonly (InflateStep | undefined)[] = ["need-input", "output-full", "member-end"];
const TRUNCATED = -1;

const FAILURES: ReadonlyMap<number, string> = new Map([
  [TRUNCATED, "unexpected end"],
  [-2, "invalid block type"],
  [-3, "invalid length of a stored block"],
  [-4, "too many length or distance codes"],
  [-5, "invalid code for code lengths"],
  [-6, "invalid repetition of code lengths"],
  [-7, "no code for the end of a block"],
  [-8, "invalid code for literals and lengths"],
  [-9, "invalid code for distances"],
  [-10, "invalid literal or length"],
  [-11, "invalid distance"],
  [-12, "a distance that reaches back too far"],
]);
