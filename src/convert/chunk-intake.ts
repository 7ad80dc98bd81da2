/** Takes plain chunks as they come and seals them with a bounded number under way. */
import { isAllZero } from "../base/bytes.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { ChunkLedger, ChunkSealer } from "./chunk-sealer.ts";

/** Spare chunks kept besides those that can be under way: one for each chunk that a layer is filling. */
const SPARE_CHUNKS = 8;

/** Seals chunks into ledgers. One intake serves a whole conversion. */
export class ChunkIntake {
  readonly #sealer: ChunkSealer;
  readonly #stored: Set<ChunkName>;
  readonly #running = new Set<Promise<void>>();
  /** Memory that was given back. Fresh memory for every chunk keeps the collector busy for half a second a gigabyte. */
  readonly #spare: Uint8Array[] = [];
  #failure: { readonly error: unknown } | undefined;

  /** `stored` is given the name of each chunk that was not there before. */
  constructor(sealer: ChunkSealer, stored: Set<ChunkName>) {
    this.#sealer = sealer;
    this.#stored = stored;
  }

  /** Memory of a chunk, all zero, to be filled and given to `add`. */
  newChunk(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(CHUNK_BYTES);
  }

  /** Takes a chunk, which becomes the intake's; a zero chunk is left out. Call `relieve` before giving many more. */
  add(ledger: ChunkLedger, ordinal: number, plain: Uint8Array): void {
    if (isAllZero(plain)) {
      ledger.clear(ordinal);
      this.#keep(plain);
      return;
    }
    const task: Promise<void> = this.#sealer
      .seal(plain)
      .then((chunk) => {
        ledger.set(ordinal, chunk);
        this.#keep(chunk.spent);
        if (chunk.outcome === "stored") this.#stored.add(chunk.name);
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Whether there is anything that `relieve` would do: a layer is asked for it each few KiB. */
  get isCrowded(): boolean {
    return this.#running.size >= this.#sealer.depth || this.#failure !== undefined;
  }

  /**
   * Resolves when few enough chunks are under way that one more may come: what makes the source wait for the store.
   * @throws the first failure of a chunk
   */
  async relieve(): Promise<void> {
    while (this.isCrowded && this.#failure === undefined) await Promise.race(this.#running);
    this.#throwFailure();
  }

  /**
   * Resolves when every chunk given so far is in the store.
   * @throws the first failure of a chunk
   */
  async finish(): Promise<void> {
    await Promise.all(this.#running);
    this.#throwFailure();
  }

  #keep(spent: Uint8Array): void {
    if (this.#spare.length < this.#sealer.depth + SPARE_CHUNKS) this.#spare.push(spent);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
