/** Memory of one size that goes round: taken, filled, moved to another thread, and given back by it. */
import { releaseBytes } from "./release.ts";

interface Waiting {
  resolve(room: Uint8Array): void;
  reject(error: unknown): void;
}

/**
 * A number of rooms at most, made when they are needed. Whoever takes one when all are away waits, which is what keeps
 * a fast thread from running ahead of a slow one.
 *
 * They are moved and not shared: what is put into them need not lie alike, and V8 copies that byte by byte to and from shared memory.
 */
export class Rooms {
  readonly sizeBytes: number;
  readonly #countMax: number;
  #count = 0;
  readonly #spare: Uint8Array[] = [];
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;

  constructor(sizeBytes: number, countMax: number) {
    this.sizeBytes = sizeBytes;
    this.#countMax = countMax;
  }

  /**
   * A room, with whatever bytes are in it.
   * @throws what `fail` was given
   */
  take(): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const spare = this.#spare.pop();
    if (spare !== undefined) return Promise.resolve(spare);
    if (this.#count < this.#countMax) {
      this.#count++;
      return Promise.resolve(new Uint8Array(this.sizeBytes));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Takes a room back. */
  giveBack(room: Uint8Array): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#spare.push(room);
    else waiting.resolve(room);
  }

  /** Says that no room will come back any more. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }

  /** Gives the memory of rooms that are here back to the system. */
  release(): void {
    this.#count -= this.#spare.length;
    for (const room of this.#spare.splice(0)) releaseBytes(room);
  }
}

/** Gathers bytes in rooms, so that there are few messages. */
export class RoomFiller {
  readonly #rooms: Rooms;
  readonly #give: (room: Uint8Array, sizeBytes: number) => void;
  #room: Uint8Array | undefined;
  #fillBytes = 0;

  /** `give` is given each room that is full, and how many bytes are in it. */
  constructor(rooms: Rooms, give: (room: Uint8Array, sizeBytes: number) => void) {
    this.#rooms = rooms;
    this.#give = give;
  }

  /**
   * Copies the bytes; when it resolves they are the caller's. Call it again only then.
   * @throws what `Rooms.fail` was given
   */
  async write(bytes: Uint8Array): Promise<void> {
    const { sizeBytes } = this.#rooms;
    for (let rest = bytes; rest.length > 0;) {
      this.#room ??= await this.#rooms.take();
      const part = rest.subarray(0, sizeBytes - this.#fillBytes);
      this.#room.set(part, this.#fillBytes);
      this.#fillBytes += part.length;
      rest = rest.subarray(part.length);
      if (this.#fillBytes === sizeBytes) this.flush();
    }
  }

  /** Gives away a room that is not full, if there is one. */
  flush(): void {
    if (this.#room === undefined) return;
    const [room, sizeBytes] = [this.#room, this.#fillBytes];
    this.#room = undefined;
    this.#fillBytes = 0;
    this.#give(room, sizeBytes);
  }

  /** Gives back a room that is not full, if there is one; what was in it is lost. */
  close(): void {
    if (this.#room !== undefined) this.#rooms.giveBack(this.#room);
    this.#room = undefined;
    this.#fillBytes = 0;
  }
}
