/**
 * Tars that are hashed in a sealing thread. With two processors the main thread, which inflates, is the busier one; what it
 * gives away costs it a copy, a tenth of the hashing.
 */
import type { Digest } from "../base/digest.ts";
import { RoomFiller, Rooms } from "../base/rooms.ts";
import { KIB } from "../base/units.ts";
import type { TarHasher } from "../layer/tar-hasher.ts";
import type { HashingReply, HashingRequest } from "./_sealing-message.ts";

const ROOM_BYTES = 512 * KIB;
/**
 * Rooms under way for all tars of a thread: twice as much as is decompressed between two looks at the messages
 * (oci/decompress), so that the thread works meanwhile.
 */
const ROOMS_MAX = 16;

/** Takes what a thread is to be told, and memory that moves with it. */
type Tell = (request: HashingRequest, moved: readonly ArrayBuffer[]) => void;

interface Waiting {
  resolve(digest: Digest): void;
  reject(error: unknown): void;
}

/** The tars that one thread hashes. */
export class TarHashing {
  readonly #tell: Tell;
  readonly #rooms = new Rooms(ROOM_BYTES, ROOMS_MAX);
  readonly #tars = new Map<number, Waiting | undefined>();
  #tarCount = 0;
  #failure: Error | undefined;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  /** Begins a tar. */
  begin(algorithm: "sha256" | "sha512"): TarHasher {
    const tar = this.#tarCount++;
    this.#tars.set(tar, undefined);
    const filler = new RoomFiller(this.#rooms, (room, sizeBytes) => {
      this.#tell({ kind: "hash", tar, algorithm, room, sizeBytes }, [room.buffer as ArrayBuffer]);
    });
    return {
      update: (bytes) => filler.write(bytes),
      finish: () => {
        filler.flush();
        return this.#digestOf(tar, algorithm);
      },
      close: () => {
        const waiting = this.#tars.get(tar);
        if (!this.#tars.delete(tar)) return;
        waiting?.reject(new Error("the tar was given up"));
        this.#tell({ kind: "forget", tar }, []);
        filler.close();
        this.#releaseRooms();
      },
    };
  }

  /** Takes an answer of the thread. */
  hear(reply: HashingReply): void {
    if (reply.kind === "digest") {
      // Nobody waits any more where the tar was closed meanwhile.
      this.#tars.get(reply.tar)?.resolve(reply.digest);
      this.#tars.delete(reply.tar);
    } else {
      this.#rooms.giveBack(reply.room);
    }
    this.#releaseRooms();
  }

  /** Says that the thread is no more: whoever waits for it fails. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#rooms.fail(error);
    for (const waiting of this.#tars.values()) waiting?.reject(error);
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

  /** What comes after the layers needs memory of its own. */
  #releaseRooms(): void {
    if (this.#tars.size === 0) this.#rooms.release();
  }
}
