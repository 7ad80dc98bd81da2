/**
 * Tars that are hashed in a sealing thread. With two processors the main thread, which inflates, is the busier one; what it
 * gives away costs it a copy, a tenth of the hashing.
 */
import { definite } from "../base/error.ts";
import type { Digest } from "../base/digest.ts";
import { releaseBytes } from "../base/release.ts";
import { KIB } from "../base/units.ts";
import type { TarHasher } from "../layer/tar-hasher.ts";
import type { HashingReply, HashingRequest } from "./_sealing-message.ts";

/** Bytes are gathered, so that there are few messages. */
const ROOM_BYTES = 512 * KIB;
/**
 * Rooms under way for all tars of a thread: twice as much as is decompressed between two looks at the messages
 * (oci/decompress), so that the thread works meanwhile.
 */
const ROOMS_MAX = 16;

/** Takes what a thread is to be told, and memory that moves with it. */
type Tell = (request: HashingRequest, moved: readonly ArrayBuffer[]) => void;

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** The tars that one thread hashes. */
export class TarHashing {
  readonly #tell: Tell;
  readonly #tars = new Map<number, Waiting<Digest> | undefined>();
  #tarCount = 0;
  #roomCount = 0;
  readonly #spare: Uint8Array[] = [];
  readonly #wanting: Waiting<Uint8Array>[] = [];
  #failure: Error | undefined;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  /** Begins a tar. */
  begin(algorithm: "sha256" | "sha512"): TarHasher {
    const tar = this.#tarCount++;
    this.#tars.set(tar, undefined);
    let room: Uint8Array | undefined;
    let fillBytes = 0;
    const send = (): void => {
      if (room === undefined) return;
      this.#tell({ kind: "hash", tar, algorithm, room, sizeBytes: fillBytes }, [room.buffer as ArrayBuffer]);
      room = undefined;
      fillBytes = 0;
    };
    return {
      update: async (bytes) => {
        for (let rest = bytes; rest.length > 0;) {
          room ??= await this.#takeRoom();
          const part = rest.subarray(0, ROOM_BYTES - fillBytes);
          room.set(part, fillBytes);
          fillBytes += part.length;
          rest = rest.subarray(part.length);
          if (fillBytes === ROOM_BYTES) send();
        }
      },
      finish: () => {
        send();
        return this.#digestOf(tar, algorithm);
      },
      close: () => {
        if (!this.#tars.delete(tar)) return;
        this.#tell({ kind: "forget", tar, algorithm }, []);
        if (room !== undefined) this.#giveBack(room);
      },
    };
  }

  /** Takes an answer of the thread. */
  hear(reply: HashingReply): void {
    if (reply.kind === "hashed") this.#giveBack(reply.room);
    else definite(this.#tars.get(reply.tar), "a thread answers what it was asked").resolve(reply.digest);
  }

  /** Says that the thread is no more: whoever waits for it fails. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#wanting.splice(0)) waiting.reject(this.#failure);
    for (const waiting of this.#tars.values()) waiting?.reject(this.#failure);
  }

  #digestOf(tar: number, algorithm: "sha256" | "sha512"): Promise<Digest> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#tars.set(tar, { resolve, reject });
      this.#tell({ kind: "digest", tar, algorithm }, []);
    });
  }

  #takeRoom(): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const spare = this.#spare.pop();
    if (spare !== undefined) return Promise.resolve(spare);
    if (this.#roomCount < ROOMS_MAX) {
      this.#roomCount++;
      return Promise.resolve(new Uint8Array(ROOM_BYTES));
    }
    return new Promise((resolve, reject) => {
      this.#wanting.push({ resolve, reject });
    });
  }

  #giveBack(room: Uint8Array): void {
    const waiting = this.#wanting.shift();
    if (waiting !== undefined) waiting.resolve(room);
    else this.#spare.push(room);
    if (this.#tars.size > 0) return;
    // What comes after the layers needs memory of its own.
    this.#roomCount -= this.#spare.length;
    for (const spare of this.#spare.splice(0)) releaseBytes(spare);
  }
}
