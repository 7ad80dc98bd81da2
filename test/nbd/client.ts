/** A client of the NBD protocol for tests: it says anything, in its own encoding, and shows every message as it came. */
import { connect, type Socket } from "node:net";
import { once } from "node:events";

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly payload: Buffer;
}

export interface Reply {
  readonly isStructured: boolean;
  readonly cookie: bigint;
  /** Of a simple reply, or of an error chunk; 0 otherwise. */
  readonly error: number;
  readonly flags: number;
  /** Of a structured reply; -1 for a simple one. */
  readonly type: number;
  readonly payload: Buffer;
}

export interface Ask {
  readonly type: number;
  readonly flags?: number;
  readonly cookie?: bigint;
  readonly offset?: number | bigint;
  readonly size?: number;
  readonly payload?: Uint8Array;
}

export class Client {
  readonly socket: Socket;
  #pieces: Buffer[] = [];
  #heldSize = 0;
  #isEnded = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes) => {
      this.#pieces.push(bytes);
      this.#heldSize += bytes.length;
      this.#wake();
    });
    const end = (): void => {
      this.#isEnded = true;
      this.#wake();
    };
    socket.on("end", end).on("close", end).on("error", end);
  }

  /** A client on a stream that is open already. */
  static over(socket: Socket): Client {
    return new Client(socket);
  }

  /** Connected; nothing has been said. */
  static async open(target: { path: string } | { host: string; port: number }): Promise<Client> {
    const socket = connect({ ...target, allowHalfOpen: false });
    await once(socket, "connect");
    return new Client(socket);
  }

  /** Connected and greeted. */
  static async greet(path: string, flags = 3): Promise<Client> {
    const client = await Client.open({ path });
    await client.take(18);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(flags);
    client.send(bytes);
    return client;
  }

  /** Connected, and in transmission with the export. */
  static async start(
    path: string,
    { name = "", isStructured = false, hasContext = false }: StartOptions = {},
  ): Promise<Client> {
    const client = await Client.greet(path);
    if (isStructured) await client.option(8);
    if (hasContext) await client.option(10, contextBody(name, ["base:allocation"]));
    const replies = await client.option(7, goBody(name));
    if (replies.at(-1)?.type !== 1) throw new Error(`GO: ${JSON.stringify(replies)}`);
    return client;
  }

  send(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** The next bytes; undefined where the connection ends before. */
  async tryTake(size: number): Promise<Buffer | undefined> {
    while (this.#heldSize < size) {
      if (this.#isEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#cut(size);
  }

  async take(size: number): Promise<Buffer> {
    const bytes = await this.tryTake(size);
    if (bytes === undefined) throw new Error(`the server closed the connection; ${size} bytes were expected`);
    return bytes;
  }

  /** All that comes until the server closes the connection. */
  async rest(): Promise<Buffer> {
    while (!this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#cut(this.#heldSize);
  }

  #cut(size: number): Buffer {
    const held =
      this.#pieces.length === 1 ? (this.#pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#pieces);
    this.#pieces = [held.subarray(size)];
    this.#heldSize -= size;
    return held.subarray(0, size);
  }

  sendOption(option: number, body: Uint8Array = Buffer.alloc(0), sizeBytes: number = body.length): void {
    const head = Buffer.alloc(16);
    head.write("IHAVEOPT", "latin1");
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(sizeBytes, 12);
    this.send(head, body);
  }

  /** Sends an option; its replies up to the last one. */
  async option(option: number, body?: Uint8Array): Promise<OptionReply[]> {
    this.sendOption(option, body);
    return this.optionReplies();
  }

  async optionReplies(): Promise<OptionReply[]> {
    const replies: OptionReply[] = [];
    for (;;) {
      const head = await this.take(20);
      if (head.readBigUInt64BE(0) !== 0x3e889045565a9n) throw new Error("wrong magic of an option reply");
      const type = head.readUInt32BE(12);
      const payload = await this.take(head.readUInt32BE(16));
      replies.push({ option: head.readUInt32BE(8), type, payload });
      if (type === 1 || type >= 0x80000000) return replies;
    }
  }

  ask({ type, flags = 0, cookie = 1n, offset = 0, size = 0, payload }: Ask): void {
    this.send(requestBytes({ type, flags, cookie, offset, size: payload?.length ?? size }));
    if (payload !== undefined) this.send(payload);
  }

  /** One message; `readSize` bytes follow a simple one without an error. */
  async reply(readSize = 0): Promise<Reply> {
    const start = await this.take(16);
    const cookie = start.readBigUInt64BE(8);
    if (start.readUInt32BE(0) === 0x67446698) {
      const error = start.readUInt32BE(4);
      const payload = error === 0 ? await this.take(readSize) : Buffer.alloc(0);
      return { isStructured: false, cookie, error, flags: 1, type: -1, payload };
    }
    if (start.readUInt32BE(0) !== 0x668e33ef) throw new Error("wrong magic of a reply");
    const size = (await this.take(4)).readUInt32BE();
    const payload = await this.take(size);
    const type = start.readUInt16BE(6);
    const error = type >= 0x8000 ? payload.readUInt32BE(0) : 0;
    return { isStructured: true, cookie, error, flags: start.readUInt16BE(4), type, payload };
  }

  /** All messages of the reply to one request, which is the only one under way. */
  async replies(readSize = 0): Promise<Reply[]> {
    const found: Reply[] = [];
    do found.push(await this.reply(readSize));
    while ((found.at(-1)?.flags ?? 0) === 0);
    return found;
  }

  /** Asks, and gives all of the reply. */
  async run(ask: Ask): Promise<Reply[]> {
    this.ask(ask);
    return this.replies(ask.type === 0 ? (ask.size ?? 0) : 0);
  }

  /** Says goodbye and waits until the server has closed. */
  async leave(): Promise<void> {
    this.ask({ type: 2 });
    await this.rest();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

export interface StartOptions {
  readonly name?: string;
  readonly isStructured?: boolean;
  readonly hasContext?: boolean;
}

export function requestBytes(ask: Required<Omit<Ask, "payload">>): Buffer {
  const head = Buffer.alloc(28);
  head.writeUInt32BE(0x25609513, 0);
  head.writeUInt16BE(ask.flags, 4);
  head.writeUInt16BE(ask.type, 6);
  head.writeBigUInt64BE(ask.cookie, 8);
  head.writeBigUInt64BE(BigInt(ask.offset), 16);
  head.writeUInt32BE(ask.size, 24);
  return head;
}

function sized(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(text);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
}

/** The body of NBD_OPT_GO and NBD_OPT_INFO. */
export function goBody(name: string | Uint8Array, kinds: readonly number[] = []): Buffer {
  const list = Buffer.alloc(2 + 2 * kinds.length);
  list.writeUInt16BE(kinds.length);
  kinds.forEach((kind, index) => list.writeUInt16BE(kind, 2 + 2 * index));
  return Buffer.concat([sized(name), list]);
}

/** The body of NBD_OPT_SET_META_CONTEXT and NBD_OPT_LIST_META_CONTEXT. */
export function contextBody(name: string, queries: readonly string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length);
  return Buffer.concat([sized(name), count, ...queries.map(sized)]);
}
