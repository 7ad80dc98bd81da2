/** A block device in memory that knows its holes, can be made to fail or to wait, and counts what is asked of it. */
import { LambdaImgError } from "../../src/base/error.ts";
import type { BlockDevice, DeviceExtent, DeviceRange } from "../../src/device/block-device.ts";

const PAGE = 4096;
const HOLE = 0;
const STORED = 1;
const STORED_ZEROS = 2;

export type DeviceCall =
  "read" | "write" | "writeZeroes" | "discard" | "flush" | "prefetch" | "extents" | "close";

interface Failure extends DeviceRange {
  readonly error: Error;
}

export class MemoryDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly bytes: Uint8Array;
  readonly calls: Record<DeviceCall, number> = {
    read: 0,
    write: 0,
    writeZeroes: 0,
    discard: 0,
    flush: 0,
    prefetch: 0,
    extents: 0,
    close: 0,
  };
  /** Changes that no flush has covered yet. */
  unflushedCount = 0;
  /** Calls that have begun and not ended, and the most there ever were. */
  runningCount = 0;
  runningCountMax = 0;
  flushError: Error | undefined;
  readonly #states: Uint8Array;
  readonly #failures: Failure[] = [];
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;

  constructor(sizeBytes: number, { isReadOnly = false }: { readonly isReadOnly?: boolean } = {}) {
    this.sizeBytes = sizeBytes;
    this.isReadOnly = isReadOnly;
    this.bytes = new Uint8Array(sizeBytes);
    this.#states = new Uint8Array(Math.ceil(sizeBytes / PAGE));
  }

  /** Fills a range as if it had always been there. */
  fill(offsetBytes: number, bytes: Uint8Array): this {
    this.bytes.set(bytes, offsetBytes);
    this.#states.fill(STORED, Math.floor(offsetBytes / PAGE), Math.ceil((offsetBytes + bytes.length) / PAGE));
    return this;
  }

  /** Every call that touches the range fails from now on. */
  failAt(offsetBytes: number, sizeBytes: number, error: Error): void {
    this.#failures.push({ offsetBytes, sizeBytes, error });
  }

  heal(): void {
    this.#failures.length = 0;
    this.flushError = undefined;
  }

  /** Calls that begin from now on wait; the function that is returned lets them go on. */
  hold(): () => void {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gate = { opened, open };
    return () => {
      this.#gate = undefined;
      open();
    };
  }

  read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array> {
    return this.#run("read", { offsetBytes, sizeBytes }, () =>
      // A device that never changes can show its own memory, as an ImageDevice does.
      this.isReadOnly
        ? this.bytes.subarray(offsetBytes, offsetBytes + sizeBytes)
        : this.bytes.slice(offsetBytes, offsetBytes + sizeBytes),
    );
  }

  write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    return this.#change("write", { offsetBytes, sizeBytes: bytes.length }, () => {
      this.fill(offsetBytes, bytes);
    });
  }

  writeZeroes(range: DeviceRange, options: { readonly mayDiscard: boolean }): Promise<void> {
    return this.#change("writeZeroes", range, () => {
      this.#zero(range, options.mayDiscard ? HOLE : STORED_ZEROS);
    });
  }

  discard(range: DeviceRange): Promise<void> {
    return this.#change("discard", range, () => {
      this.#zero(range, HOLE);
    });
  }

  flush(): Promise<void> {
    const coveredCount = this.unflushedCount;
    return this.#run("flush", { offsetBytes: 0, sizeBytes: 0 }, () => {
      if (this.flushError !== undefined) throw this.flushError;
      this.unflushedCount -= coveredCount;
    });
  }

  prefetch(range: DeviceRange): Promise<void> {
    return this.#run("prefetch", range, () => undefined);
  }

  extents(range: DeviceRange): Promise<readonly DeviceExtent[]> {
    return this.#run("extents", range, () => {
      const found: DeviceExtent[] = [];
      const end = range.offsetBytes + range.sizeBytes;
      for (let at = range.offsetBytes; at < end;) {
        const state = this.#states[Math.floor(at / PAGE)];
        let next = at;
        while (next < end && this.#states[Math.floor(next / PAGE)] === state) {
          next = Math.min(end, (Math.floor(next / PAGE) + 1) * PAGE);
        }
        found.push({ sizeBytes: next - at, isZero: state !== STORED, isHole: state === HOLE });
        at = next;
      }
      return found;
    });
  }

  close(): Promise<void> {
    this.calls.close++;
    return Promise.resolve();
  }

  /** Zeros in a range; whole pages of it get the state. */
  #zero({ offsetBytes, sizeBytes }: DeviceRange, state: number): void {
    const end = offsetBytes + sizeBytes;
    this.bytes.fill(0, offsetBytes, end);
    const first = Math.ceil(offsetBytes / PAGE);
    const last = end === this.sizeBytes ? this.#states.length : Math.floor(end / PAGE);
    if (first < last) this.#states.fill(state, first, last);
  }

  #change(call: DeviceCall, range: DeviceRange, work: () => void): Promise<void> {
    if (this.isReadOnly) return Promise.reject(new LambdaImgError("DEVICE_READ_ONLY", "device: read-only"));
    return this.#run(call, range, () => {
      work();
      this.unflushedCount++;
    });
  }

  async #run<T>(call: DeviceCall, range: DeviceRange, work: () => T): Promise<T> {
    this.calls[call]++;
    this.runningCount++;
    this.runningCountMax = Math.max(this.runningCountMax, this.runningCount);
    try {
      if (this.#gate !== undefined) await this.#gate.opened;
      const end = range.offsetBytes + range.sizeBytes;
      if (!(range.offsetBytes >= 0) || end > this.sizeBytes) {
        throw new LambdaImgError(
          "DEVICE_RANGE_INVALID",
          `device: ${range.sizeBytes} at ${range.offsetBytes}`,
        );
      }
      for (const failure of this.#failures) {
        const isTouched =
          failure.offsetBytes < end && range.offsetBytes < failure.offsetBytes + failure.sizeBytes;
        if (isTouched && call !== "extents") throw failure.error;
      }
      return work();
    } finally {
      this.runningCount--;
    }
  }
}

/** Bytes that differ from place to place: reads of a wrong place are found. */
export function patternBytes(sizeBytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed >>> 0;
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state ^ (state >>> 15);
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}
