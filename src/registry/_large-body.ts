// ⚡ uses: network
/**
 * Large bodies past the parser. node:http reads the head of an answer; of a body whose length the head gives there is
 * nothing left to parse, so the socket's bytes go where they are wanted, without a stream and two copies between
 * (measured in docs/decisions/0015-large-bodies.md). Smaller bodies, chunked ones and those of tunnels come by node:http.
 */
import type { Agent, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { definite } from "../base/error.ts";
import { KIB, MIB } from "../base/units.ts";

/** A smaller body is not worth the connection that it costs. */
const LARGE_BYTES = MIB;
/** Of what a socket reads into while node:http listens. */
const HEAD_ROOM_BYTES = 64 * KIB;
/** Of what it reads a body into. */
const ROOM_BYTES = 512 * KIB;
/** A room with less left is full: reads of a few bytes cost as much as large ones. */
const REST_BYTES_MIN = 64 * KIB;
/** Rooms with bytes that wait or are lent; the socket is not read while there are more. */
const ROOM_COUNT_MAX = 3;

const taps = new WeakMap<Duplex, SocketTap>();

/** From now on, large bodies can be taken from the agent's connections. */
export function tapConnections(agent: Agent): void {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const tap = new SocketTap();
    const socket = connect({ ...options, ...tap.options }, callback);
    if (!socket) return socket;
    tap.socket = socket;
    taps.set(socket, tap);
    return socket;
  };
}

/**
 * The body of an answer whose head has just been read, where it is large and can be had; call it while "response" is emitted. What
 * is then left of the message is its errors; its connection serves nothing else: destroy the message in the end.
 */
export function takeLargeBody(message: IncomingMessage): AsyncIterator<Uint8Array, undefined> | undefined {
  const { statusCode, headers, socket } = message;
  const length = headers["content-length"] ?? "";
  if (statusCode !== 200 && statusCode !== 206) return undefined;
  if (headers["transfer-encoding"] !== undefined || !/^[0-9]{1,15}$/.test(length)) return undefined;
  const sizeBytes = Number(length);
  if (sizeBytes < LARGE_BYTES) return undefined;
  const tap = taps.get(socket);
  // Bytes that node:http has been given and not looked at would come after those that we take.
  if (tap?.isHeadRead !== true) return undefined;
  tap.body = new LargeBody(message, sizeBytes);
  return tap.body;
}

/** What a socket reads, on its way to node:http or past it. */
class SocketTap {
  socket: Duplex | undefined;
  body: LargeBody | undefined;
  /** node:http is looking at the last bytes of the socket. */
  isHeadRead = false;
  readonly #headRoom = new Uint8Array(HEAD_ROOM_BYTES);

  /** As net.connect and tls.connect take them: where to read to, and what to do with it; false stops reading. */
  readonly options = {
    onread: {
      buffer: (): Uint8Array => this.body?.room() ?? this.#headRoom,
      callback: (sizeBytes: number): boolean => {
        if (this.body !== undefined) return this.body.take(sizeBytes);
        this.isHeadRead = true;
        const isWanted = this.socket?.push(this.#headRoom.slice(0, sizeBytes)) ?? false;
        this.isHeadRead = false;
        return isWanted;
      },
    },
  };
}

interface Room {
  readonly bytes: Uint8Array<ArrayBuffer>;
  filledBytes: number;
  lentBytes: number;
  isFull: boolean;
}

/** The bytes of one body, lent: a piece is good until the next one is asked for. */
class LargeBody implements AsyncIterator<Uint8Array, undefined> {
  readonly #message: IncomingMessage;
  readonly #socket: Socket;
  /** Of bytes that have not been lent. */
  #leftBytes: number;
  /** The first is lent from, the last is read into. */
  readonly #rooms: Room[] = [emptyRoom()];
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #isBegun = false;

  constructor(message: IncomingMessage, sizeBytes: number) {
    this.#message = message;
    this.#socket = message.socket;
    this.#leftBytes = sizeBytes;
    const fail = (error: Error): void => {
      this.#failure ??= error;
      this.#wake?.();
    };
    message.on("error", fail);
    message.once("close", () => {
      fail(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    });
  }

  /** Where the socket reads to next. */
  room(): Uint8Array {
    const room = this.#writing();
    return room.bytes.subarray(room.filledBytes);
  }

  /** So many bytes have come there; false where no more are wanted for now. */
  take(sizeBytes: number): boolean {
    const room = this.#writing();
    room.filledBytes += sizeBytes;
    if (ROOM_BYTES - room.filledBytes < REST_BYTES_MIN) {
      room.isFull = true;
      this.#rooms.push(emptyRoom(this.#free.pop()));
    }
    this.#wake?.();
    return this.#rooms.length <= ROOM_COUNT_MAX;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#leftBytes === 0) return { done: true, value: undefined };
      // What came before a failure is as good as ever.
      const piece = this.#start() ?? this.#lend();
      if (piece !== undefined) {
        // A server may send more than it said.
        const value = piece.subarray(0, this.#leftBytes);
        this.#leftBytes -= value.length;
        return { done: false, value };
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What came along with the head, and has gone through node:http. */
  #start(): Uint8Array | undefined {
    if (this.#isBegun) return undefined;
    this.#isBegun = true;
    const start = this.#message.read() as Uint8Array | null;
    this.#socket.resume();
    return start ?? undefined;
  }

  #lend(): Uint8Array | undefined {
    for (;;) {
      const [room] = this.#rooms;
      if (room === undefined) return undefined;
      if (room.lentBytes < room.filledBytes) {
        const piece = room.bytes.subarray(room.lentBytes, room.filledBytes);
        room.lentBytes = room.filledBytes;
        return piece;
      }
      if (!room.isFull) return undefined;
      this.#rooms.shift();
      this.#free.push(room.bytes);
      if (this.#rooms.length === ROOM_COUNT_MAX) this.#socket.resume();
    }
  }

  #writing(): Room {
    return definite(this.#rooms.at(-1), "there is always a room to read into");
  }
}

function emptyRoom(bytes = new Uint8Array(ROOM_BYTES)): Room {
  return { bytes, filledBytes: 0, lentBytes: 0, isFull: false };
}
