/** Takes plain chunks as they come and seals them with a bounded number under way. */
import { isAllZero } from "../base/bytes.ts";
import type { ChunkName } from "../chunk/chunk.ts";
import type { ChunkLedger, ChunkSealer } from "./chunk-sealer.ts";

/** Seals chunks into ledgers. One intake serves a whole conversion. */
export class ChunkIntake {
  readonly #sealer: ChunkSealer;
  readonly #stored: Set<ChunkName>;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** `stored` is given the name of each chunk that was not there before. */
  constructor(sealer: ChunkSealer, stored: Set<ChunkName>) {
    this.#sealer = sealer;
    this.#stored = stored;
  }

  /** Takes a chunk, which becomes the intake's; a zero chunk is left out. Call `relieve` before giving many more. */
  add(ledger: ChunkLedger, ordinal: number, plain: Uint8Array): void {
    if (isAllZero(plain)) {
      ledger.clear(ordinal);
      return;
    }
    const task: Promise<void> = this.#sealer
      .seal(plain)
      .then((chunk) => {
        ledger.set(ordinal, chunk);
        if (chunk.outcome === "stored") this.#stored.add(chunk.name);
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /**
   * Resolves when few enough chunks are under way that one more may come: what makes the source wait for the store.
   * @throws the first failure of a chunk
   */
  async relieve(): Promise<void> {
    while (this.#running.size >= this.#sealer.depth && this.#failure === undefined)
      await Promise.race(this.#running);
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

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
