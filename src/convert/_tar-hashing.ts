/**
 * Tars that are hashed in a sealing thread. With two processors the main thread, which inflates, is the busier one. Bytes in memory that
 * threads share are hashed where they are; others are copied, which costs a tenth of the hashing.
 */
import { assert, definite } from "../base/error.ts";
import type { Digest } from "../base/digest.ts";
import { RoomFiller, Rooms } from "../base/rooms.ts";
import { KIB } from "../base/units.ts";
import type { TarHasher } from "../layer/tar-hasher.ts";
import type { HashingReply, HashingRequest } from "./_sealing-message.ts";

/** As much as one message is about. */
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

/** Bytes of shared memory that follow each other and were not sent yet. */
interface Run {
  bytes: Uint8Array;
  readonly done: Promise<void>;
  readonly waiting: Waiting<void>;
}

/** The tars that one thread hashes. */
export class TarHashing {
  readonly #tell: Tell;
  readonly #rooms = new Rooms(ROOM_BYTES, ROOMS_MAX);
  readonly #tars = new Map<number, Waiting<Digest> | undefined>();
  /** Of shared memory that is being hashed, in the order of the requests; `undefined` stands for a room. */
  readonly #runs: (Waiting<void> | undefined)[] = [];
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
      this.#runs.push(undefined);
      const bytes = room.subarray(0, sizeBytes);
      this.#tell({ kind: "hash", tar, algorithm, bytes }, [room.buffer as ArrayBuffer]);
    });
    let run: Run | undefined;
    const sendRun = (): void => {
      if (run === undefined) return;
      this.#runs.push(run.waiting);
      this.#tell({ kind: "hash", tar, algorithm, bytes: run.bytes }, []);
      run = undefined;
    };
    return {
      update: (bytes) => {
        if (!(bytes.buffer instanceof SharedArrayBuffer)) return filler.write(bytes);
        if (this.#failure !== undefined) return Promise.reject(this.#failure);
        if (run !== undefined && !follows(run.bytes, bytes)) sendRun();
        if (run === undefined) run = newRun(bytes);
        else run.bytes = new Uint8Array(bytes.buffer, run.bytes.byteOffset, run.bytes.length + bytes.length);
        const { done } = run;
        if (run.bytes.length >= ROOM_BYTES) sendRun();
        return done;
      },
      finish: () => {
        filler.flush();
        sendRun();
        return this.#digestOf(tar, algorithm);
      },
      close: () => {
        run?.waiting.resolve();
        run = undefined;
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
      assert(this.#runs.length > 0, "a thread answers what it was asked");
      const run = this.#runs.shift();
      if (run === undefined) this.#rooms.giveBack(definite(reply.room, "a room that moved comes back"));
      else run.resolve();
    }
    this.#releaseRooms();
  }

  /** Says that the thread is no more: whoever waits for it fails. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#rooms.fail(error);
    for (const waiting of this.#tars.values()) waiting?.reject(error);
    for (const waiting of this.#runs.splice(0)) waiting?.reject(error);
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

function newRun(bytes: Uint8Array): Run {
  let waiting: Waiting<void> | undefined;
  const done = new Promise<void>((resolve, reject) => {
    waiting = { resolve, reject };
  });
  // Where the thread ends, whoever waits hears of it; it may be that nobody does.
  done.catch(() => undefined);
  return { bytes, done, waiting: definite(waiting, "a promise calls its executor at once") };
}

/** Whether bytes stand behind others in the same memory. */
function follows(before: Uint8Array, bytes: Uint8Array): boolean {
  return before.buffer === bytes.buffer && before.byteOffset + before.length === bytes.byteOffset;
}
