/** Which exports are open, and who uses them: one device for all clients of a key. */
import type { NbdExport, NbdExports } from "./export.ts";

/** One user's hold on an export. */
export interface ExportLease {
  readonly export: NbdExport;
  /** Gives the hold up; the last one flushes and closes the export. Can be called again. Never rejects. */
  release(): Promise<void>;
}

interface Entry {
  readonly opening: Promise<NbdExport | undefined>;
  userCount: number;
  closing: Promise<void> | undefined;
}

/** Opens an export for its first user, and closes it after its last one. */
export class ExportTable {
  readonly #exports: NbdExports;
  readonly #onProblem: (error: unknown) => void;
  readonly #entries: Map<string, Entry> = new Map();

  constructor(exports: NbdExports, onProblem: (error: unknown) => void) {
    this.#exports = exports;
    this.#onProblem = onProblem;
  }

  /**
   * A hold on the export of that name; undefined where there is none.
   * @throws what `keyOf` and `open` of the exports throw
   */
  async acquire(name: string): Promise<ExportLease | undefined> {
    const key = this.#exports.keyOf === undefined ? name : await this.#exports.keyOf(name);
    if (key === undefined) return undefined;
    let entry = this.#entries.get(key);
    while (entry?.closing !== undefined) {
      // An overlay may have one owner: the old one has to be gone.
      await entry.closing;
      entry = this.#entries.get(key);
    }
    if (entry === undefined) {
      entry = { opening: this.#exports.open(key), userCount: 0, closing: undefined };
      this.#entries.set(key, entry);
    }
    entry.userCount++;
    let found: NbdExport | undefined;
    try {
      found = await entry.opening;
    } finally {
      if (found === undefined) this.#forget(key, entry);
    }
    return found === undefined ? undefined : this.#lease(key, entry, found);
  }

  #lease(key: string, entry: Entry, found: NbdExport): ExportLease {
    let released: Promise<void> | undefined;
    return {
      export: found,
      release: () => (released ??= this.#leave(key, entry, found)),
    };
  }

  async #leave(key: string, entry: Entry, found: NbdExport): Promise<void> {
    entry.userCount--;
    if (entry.userCount > 0) return;
    entry.closing = this.#close(found).finally(() => {
      this.#forget(key, entry);
    });
    await entry.closing;
  }

  async #close(found: NbdExport): Promise<void> {
    try {
      if (!found.device.isReadOnly) await found.device.flush();
    } catch (error) {
      this.#onProblem(error);
    }
    try {
      await found.close();
    } catch (error) {
      this.#onProblem(error);
    }
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}
