/** A disk for overlays that loses power: what was written since the last sync comes to it in parts, or not at all. */
import type { OverlayMedium } from "../../src/device/_overlay-medium.ts";

/** Writes are torn at multiples of this: worse than any real disk, whose sectors have 512 bytes. */
const CELL = 64;
/** Parts of the disk without a byte are read at once. */
const HOLE = 4096;

export class PowerLost extends Error {}

export class SimulatedDisk implements OverlayMedium {
  readonly #durable: Map<number, Uint8Array>;
  /** Parts of HOLE bytes that have a cell. */
  readonly #touched: Set<number>;
  /** By cell: what was written there since the last sync, in order. */
  #unsynced: Map<number, Uint8Array[]> = new Map<number, Uint8Array[]>();
  /** Calls that write or sync, until power is lost. */
  callsLeft: number = Number.POSITIVE_INFINITY;
  /** One more such call than that fails, but power stays. */
  failure: Error | undefined;
  writtenEnd = 0;
  /** How long each write and sync takes. */
  pause: () => Promise<void> = () => Promise.resolve();

  constructor(durable: Map<number, Uint8Array> = new Map()) {
    this.#durable = durable;
    this.#touched = new Set([...durable.keys()].map((index) => Math.floor((index * CELL) / HOLE)));
  }

  read(target: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < target.length;) {
      const hole = HOLE - ((offset + at) % HOLE);
      if (!this.#touched.has(Math.floor((offset + at) / HOLE))) {
        target.fill(0, at, at + hole);
        at += hole;
        continue;
      }
      const start = (offset + at) % CELL;
      const cell = this.#cellAt(Math.floor((offset + at) / CELL));
      const piece =
        cell?.subarray(start, start + target.length - at) ??
        new Uint8Array(Math.min(CELL - start, target.length - at));
      target.set(piece, at);
      at += piece.length;
    }
    return Promise.resolve();
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.pause();
    if (this.callsLeft < 0) throw new PowerLost();
    this.#put(bytes, offset);
    this.#count();
    this.writtenEnd = Math.max(this.writtenEnd, offset + bytes.length);
  }

  async sync(): Promise<void> {
    const unsynced = [...this.#unsynced].map(([index, cells]) => [index, cells.length] as const);
    await this.pause();
    this.#count();
    // What was written while this sync was under way may not be covered.
    for (const [index, count] of unsynced) {
      const cells = this.#unsynced.get(index)!;
      this.#durable.set(index, cells[count - 1]!);
      if (cells.length === count) this.#unsynced.delete(index);
      else this.#unsynced.set(index, cells.slice(count));
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * The disk after power was lost: of each cell what was durable, or something that was written since. `chance` (from 0 to 1)
   * says how much of it got there, `random` gives numbers from 0 to 1.
   */
  afterLoss(chance: number, random: () => number): SimulatedDisk {
    const cells = new Map(this.#durable);
    for (const [index, versions] of this.#unsynced) {
      if (random() >= chance) continue;
      const which = chance === 1 ? versions.length - 1 : Math.floor(random() * versions.length);
      cells.set(index, versions[which]!);
    }
    return new SimulatedDisk(cells);
  }

  /** Changes one byte. */
  flip(offset: number): void {
    const byte = new Uint8Array(1);
    void this.read(byte, offset);
    this.#put(
      byte.map((value) => value ^ 1),
      offset,
    );
  }

  /** Numbers of cells with bytes, as offsets. */
  offsets(): number[] {
    return [...new Set([...this.#durable.keys(), ...this.#unsynced.keys()])].map((index) => index * CELL);
  }

  #count(): void {
    if (this.callsLeft-- > 0) return;
    if (this.failure === undefined) throw new PowerLost();
    this.callsLeft = Number.POSITIVE_INFINITY;
    throw this.failure;
  }

  #cellAt(index: number): Uint8Array | undefined {
    return this.#unsynced.get(index)?.at(-1) ?? this.#durable.get(index);
  }

  #put(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.length;) {
      const index = Math.floor((offset + at) / CELL);
      const start = (offset + at) % CELL;
      const cell = Uint8Array.from(this.#cellAt(index) ?? new Uint8Array(CELL));
      this.#touched.add(Math.floor((offset + at) / HOLE));
      const piece = bytes.subarray(at, at + CELL - start);
      cell.set(piece, start);
      this.#unsynced.set(index, [...(this.#unsynced.get(index) ?? []), cell]);
      at += piece.length;
    }
  }
}
