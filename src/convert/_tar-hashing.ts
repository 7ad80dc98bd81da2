/**
 * Tars that are hashed in a sealing thread. With two processors the main thread, which inflates, is the busier one. Bytes in memory that
 * threads share are hashed where they are; others are copied, which costs a tenth of the hashing.
 */
import { definite } from "../base/error.ts";
import type { Digest } from "../base/digest.ts";
import { RoomFiller, Rooms } from "../base/rooms.ts";
import { KIB } from "../base/units.ts";
import type { TarHasher } from "../layer/tar-hasher.ts";
import type { HashingReply, HashingRequest, TarNamed } from "./_sealing-message.ts";

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
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes of shared memory that follow each other, and who waits until they are hashed. */
interface Run {
  bytes: Uint8Array;
  readonly waiting: Waiting<void>[];
}

/** The tars that one thread hashes. */
export class TarHashing {
  readonly #tell: Tell;
  readonly #rooms = new Rooms(ROOM_BYTES, ROOMS_MAX);
  readonly #tars = new Map<number, Waiting<Digest> | undefined>();
  /** By tar: what is not sent yet. */
  readonly #gathered = new Map<number, Run>();
  /** What is sent and has no answer, in the order of the requests. */
  readonly #sent: Run[] = [];
  #tarCount = 0;
  #failure: Error | undefined;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  /** Begins a tar. */
  begin(algorithm: "sha256" | "sha512"): TarHasher {
    const tar = this.#tarCount++;
    const named: TarNamed = { tar, algorithm };
    this.#tars.set(tar, undefined);
    const filler = new RoomFiller(this.#rooms, (room, sizeBytes) => {
      const bytes = room.subarray(0, sizeBytes);
      this.#tell({ kind: "hash", ...named, bytes }, [room.buffer as ArrayBuffer]);
    });
    return {
      update: (bytes) =>
        bytes.buffer instanceof SharedArrayBuffer ? this.#gather(named, bytes) : filler.write(bytes),
      finish: () => {
        filler.flush();
        this.#send(named);
        return this.#digestOf(named);
      },
      close: () => {
        for (const { resolve } of this.#gathered.get(tar)?.waiting ?? []) resolve();
        this.#gathered.delete(tar);
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
    } else if (reply.room !== undefined) {
      this.#rooms.giveBack(reply.room);
    } else {
      const { waiting } = definite(this.#sent.shift(), "a thread answers what it was asked");
      for (const { resolve } of waiting) resolve();
    }
    this.#releaseRooms();
  }

  /** Says that the thread is no more: whoever waits for it fails. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#rooms.fail(error);
    for (const waiting of this.#tars.values()) waiting?.reject(error);
    for (const { waiting } of [...this.#sent.splice(0), ...this.#gathered.values()])
      for (const { reject } of waiting) reject(error);
    this.#gathered.clear();
  }

  /** Takes bytes of shared memory; resolves when they are hashed. */
  #gather(named: TarNamed, bytes: Uint8Array): Promise<void> {
    const before = this.#gathered.get(named.tar);
    if (before !== undefined && !follows(before.bytes, bytes)) this.#send(named);
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const run = this.#gathered.get(named.tar) ?? { bytes: bytes.subarray(0, 0), waiting: [] };
      run.bytes = new Uint8Array(bytes.buffer, run.bytes.byteOffset, run.bytes.length + bytes.length);
      run.waiting.push({ resolve, reject });
      this.#gathered.set(named.tar, run);
      if (run.bytes.length >= ROOM_BYTES) this.#send(named);
    });
  }

  /** Sends what is gathered of a tar, if anything is. */
  #send(named: TarNamed): void {
    const run = this.#gathered.get(named.tar);
    if (run === undefined) return;
    this.#gathered.delete(named.tar);
    this.#sent.push(run);
    this.#tell({ kind: "hash", ...named, bytes: run.bytes }, []);
  }

  #digestOf(named: TarNamed): Promise<Digest> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#tars.set(named.tar, { resolve, reject });
      this.#tell({ kind: "digest", ...named }, []);
    });
  }

  /** What comes after the layers needs memory of its own. */
  #releaseRooms(): void {
    if (this.#tars.size === 0) this.#rooms.release();
  }
}

/** Whether bytes stand behind others in the same memory. */
function follows(before: Uint8Array, bytes: Uint8Array): boolean {
  return before.buffer === bytes.buffer && before.byteOffset + before.length === bytes.byteOffset;
}
