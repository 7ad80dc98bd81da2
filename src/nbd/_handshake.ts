/** The handshake: which export a client gets, and what both sides may say then (proto.md, "Handshake"). */
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { BlockDevice } from "../device/block-device.ts";
import { Channel } from "./_channel.ts";
import type { ExportLease, ExportTable } from "./_export-table.ts";
import { OPTION_BYTES_MAX, OPTION_COUNT_MAX, OPTION_SKIP_BYTES_MAX, PAYLOAD_BYTES_MAX } from "./_limit.ts";
import * as codec from "./_option-codec.ts";
import { errorTextOf } from "./_request-rules.ts";
import { ALLOCATION_CONTEXT } from "./_serve-request.ts";
import type { TlsUpgrade } from "./_tls-upgrade.ts";
import type { NbdExports } from "./export.ts";
import { BASE_ALLOCATION, INFORMATION, NBD_FLAG, NBD_OPT, NBD_REP } from "./protocol.ts";

const BLOCK_SIZES = { minimumBytes: 1, preferredBytes: 4096, maximumBytes: PAYLOAD_BYTES_MAX };

/** What the handshake goes by. */
export interface HandshakeSettings {
  readonly table: ExportTable;
  readonly exports: NbdExports;
  readonly tls: TlsUpgrade | undefined;
  readonly isStopping: () => boolean;
  readonly onProblem: (error: unknown) => void;
}

/** What the handshake has led to. The lease goes to the caller. */
export interface Agreement {
  readonly lease: ExportLease;
  /** NBD_FLAG_*, as told to the client. */
  readonly flags: number;
  readonly isStructured: boolean;
  readonly hasAllocation: boolean;
}

/** What an option leads to: the next one, the end, or the transmission. */
type Outcome = "next" | "end" | Agreement;

/** One client's handshake. */
export class Handshake {
  readonly #settings: HandshakeSettings;
  #channel: Channel;
  #isFixed = false;
  #hasNoZeroes = false;
  #isSecure = false;
  #isStructured = false;
  /** The export for which base:allocation was set. */
  #contextName: string | undefined;
  /** Kept between options: who asks about an export mostly takes it then. */
  #lease: { readonly name: string; readonly held: ExportLease } | undefined;

  constructor(channel: Channel, settings: HandshakeSettings) {
    this.#channel = channel;
    this.#settings = settings;
  }

  /** The channel to the client, which TLS replaces by another. */
  get channel(): Channel {
    return this.#channel;
  }

  /**
   * Undefined where the client leaves, or asks for an export in a way that knows no refusal.
   * @throws NBD_PROTOCOL for what no client may say
   */
  async run(): Promise<Agreement | undefined> {
    let agreement: Agreement | undefined;
    try {
      agreement = await this.#haggle();
    } finally {
      if (agreement === undefined) await this.#lease?.held.release();
    }
    return agreement;
  }

  async #haggle(): Promise<Agreement | undefined> {
    this.#channel.send([codec.encodeGreeting()]);
    const flags = await this.#channel.incoming.take(codec.CLIENT_FLAGS_BYTES);
    if (flags === undefined) return undefined;
    ({ isFixed: this.#isFixed, hasNoZeroes: this.#hasNoZeroes } = codec.decodeClientFlags(flags));
    for (let count = 0; count < OPTION_COUNT_MAX; count++) {
      const outcome = await this.#nextOption();
      if (outcome === "end") return undefined;
      if (outcome !== "next") return outcome;
      // A client that does not read its replies gets no more of them.
      await this.#channel.sent();
    }
    throw violation(`more than ${OPTION_COUNT_MAX} options`);
  }

  async #nextOption(): Promise<Outcome> {
    const { incoming } = this.#channel;
    const header = await incoming.take(codec.OPTION_HEADER_BYTES);
    if (header === undefined) return "end";
    const { option, sizeBytes } = codec.decodeOptionHeader(header);
    // "This is the only valid option in nonfixed newstyle negotiation."
    if (!this.#isFixed && option !== NBD_OPT.EXPORT_NAME) {
      throw violation(`option ${option} without NBD_FLAG_C_FIXED_NEWSTYLE`);
    }
    if (sizeBytes > OPTION_BYTES_MAX) return this.#skipOption(option, sizeBytes);
    const body = await incoming.take(sizeBytes);
    if (body === undefined) return "end";
    if (this.#settings.isStopping() && option !== NBD_OPT.ABORT) {
      this.#reply(option, NBD_REP.ERR_SHUTDOWN);
      return "end";
    }
    const isBare = option === NBD_OPT.ABORT || option === NBD_OPT.STARTTLS;
    if (this.#settings.tls?.isRequired === true && !this.#isSecure && !isBare) {
      // proto.md, "FORCEDTLS mode"; NBD_OPT_EXPORT_NAME knows no refusal but the end.
      if (option === NBD_OPT.EXPORT_NAME) return "end";
      return this.#reply(option, NBD_REP.ERR_TLS_REQD);
    }
    return this.#serveOption(option, body);
  }

  async #skipOption(option: number, sizeBytes: number): Promise<Outcome> {
    if (option === NBD_OPT.EXPORT_NAME || sizeBytes > OPTION_SKIP_BYTES_MAX) {
      throw violation(`option ${option} with ${sizeBytes} bytes`);
    }
    const isWhole = await this.#channel.incoming.skip(sizeBytes);
    return isWhole ? this.#reply(option, NBD_REP.ERR_TOO_BIG) : "end";
  }

  #serveOption(option: number, body: Uint8Array): Outcome | Promise<Outcome> {
    switch (option) {
      case NBD_OPT.EXPORT_NAME:
        return this.#chooseExport(body);
      case NBD_OPT.ABORT:
        this.#reply(option, NBD_REP.ACK);
        return "end";
      case NBD_OPT.LIST:
        return body.length > 0 ? this.#reply(option, NBD_REP.ERR_INVALID) : this.#list();
      case NBD_OPT.STARTTLS:
        return body.length > 0 ? this.#reply(option, NBD_REP.ERR_INVALID) : this.#startTls();
      case NBD_OPT.INFO:
      case NBD_OPT.GO:
        return this.#describe(option, body);
      case NBD_OPT.STRUCTURED_REPLY:
        if (body.length > 0) return this.#reply(option, NBD_REP.ERR_INVALID);
        this.#isStructured = true;
        return this.#reply(option, NBD_REP.ACK);
      case NBD_OPT.LIST_META_CONTEXT:
      case NBD_OPT.SET_META_CONTEXT:
        return this.#serveContexts(option, body);
      default:
        return this.#reply(option, NBD_REP.ERR_UNSUP);
    }
  }

  #reply(option: number, type: number, payload?: Uint8Array): "next" {
    this.#channel.send([codec.encodeOptionReply(option, type, payload)]);
    return "next";
  }

  async #chooseExport(body: Uint8Array): Promise<Outcome> {
    const name = codec.decodeString(body);
    if (name === undefined) throw violation("an export name that is no string");
    let lease: ExportLease | undefined;
    try {
      lease = await this.#hold(name);
    } catch (error) {
      this.#settings.onProblem(error);
    }
    if (lease === undefined || this.#settings.isStopping()) return "end";
    const agreement = this.#agree(name, lease);
    const { sizeBytes } = lease.export.device;
    const facts = { sizeBytes, flags: agreement.flags };
    this.#channel.send([codec.encodeExportNameReply(facts, this.#hasNoZeroes)]);
    return agreement;
  }

  async #list(): Promise<Outcome> {
    const { exports } = this.#settings;
    if (exports.list === undefined) return this.#reply(NBD_OPT.LIST, NBD_REP.ERR_POLICY);
    try {
      for (const { name, description } of await exports.list()) {
        this.#reply(NBD_OPT.LIST, NBD_REP.SERVER, codec.encodeListed(name, description ?? ""));
      }
    } catch (error) {
      return this.#refuse(NBD_OPT.LIST, error);
    }
    return this.#reply(NBD_OPT.LIST, NBD_REP.ACK);
  }

  async #startTls(): Promise<Outcome> {
    const { tls } = this.#settings;
    if (this.#isSecure) return this.#reply(NBD_OPT.STARTTLS, NBD_REP.ERR_INVALID);
    if (tls === undefined) return this.#reply(NBD_OPT.STARTTLS, NBD_REP.ERR_POLICY);
    if (this.#channel.incoming.heldBytes > 0) {
      // Someone on the way could have put it there, to be taken for the client's once TLS runs.
      throw violation("bytes behind NBD_OPT_STARTTLS that no TLS protects");
    }
    // Nothing is read from here on: what comes next is TLS.
    const socket = this.#channel.release();
    await new Promise<void>((resolve) => {
      socket.write(codec.encodeOptionReply(NBD_OPT.STARTTLS, NBD_REP.ACK), () => {
        resolve();
      });
    });
    this.#channel = new Channel(await tls.upgrade(socket));
    if (this.#settings.isStopping()) this.#channel.incoming.end();
    this.#isSecure = true;
    // For the same reason nothing counts that was agreed on before.
    this.#isStructured = false;
    this.#contextName = undefined;
    await this.#letGo();
    return "next";
  }

  async #describe(option: number, body: Uint8Array): Promise<Outcome> {
    const request = codec.decodeExportRequest(body);
    if (request === undefined) return this.#reply(option, NBD_REP.ERR_INVALID);
    const lease = await this.#holdOrRefuse(option, request.name);
    if (typeof lease === "string") return lease;
    const { name, description, device } = lease.export;
    const agreement = this.#agree(request.name, lease);
    const say = (payload: Uint8Array): void => {
      this.#reply(option, NBD_REP.INFO, payload);
    };
    say(codec.encodeExportFacts({ sizeBytes: device.sizeBytes, flags: agreement.flags }));
    if (request.kinds.has(INFORMATION.NAME)) say(codec.encodeExportText(INFORMATION.NAME, name));
    if (request.kinds.has(INFORMATION.DESCRIPTION) && description !== undefined) {
      say(codec.encodeExportText(INFORMATION.DESCRIPTION, description));
    }
    if (request.kinds.has(INFORMATION.BLOCK_SIZE)) say(codec.encodeBlockSizes(BLOCK_SIZES));
    this.#reply(option, NBD_REP.ACK);
    return option === NBD_OPT.GO ? agreement : "next";
  }

  async #serveContexts(option: number, body: Uint8Array): Promise<Outcome> {
    const isSet = option === NBD_OPT.SET_META_CONTEXT;
    if (isSet) this.#contextName = undefined;
    const request = this.#isStructured ? codec.decodeContextRequest(body) : undefined;
    if (request?.queries.every((query) => query.includes(":")) !== true) {
      return this.#reply(option, NBD_REP.ERR_INVALID);
    }
    const lease = await this.#holdOrRefuse(option, request.name);
    if (typeof lease === "string") return lease;
    const { queries } = request;
    const isAsked = isSet
      ? queries.includes(BASE_ALLOCATION)
      : queries.length === 0 || queries.includes("base:") || queries.includes(BASE_ALLOCATION);
    if (isAsked) {
      if (isSet) this.#contextName = request.name;
      const context = codec.encodeContext(isSet ? ALLOCATION_CONTEXT : 0, BASE_ALLOCATION);
      this.#reply(option, NBD_REP.META_CONTEXT, context);
    }
    return this.#reply(option, NBD_REP.ACK);
  }

  #agree(name: string, lease: ExportLease): Agreement {
    return {
      lease,
      flags: transmissionFlags(lease.export.device, this.#isStructured),
      isStructured: this.#isStructured,
      hasAllocation: this.#contextName === name,
    };
  }

  /** The lease, or what the refusal that was sent leads to. */
  async #holdOrRefuse(option: number, name: string): Promise<ExportLease | "next" | "end"> {
    let lease: ExportLease | undefined;
    try {
      lease = await this.#hold(name);
    } catch (error) {
      return this.#refuse(option, error);
    }
    if (this.#settings.isStopping()) {
      this.#reply(option, NBD_REP.ERR_SHUTDOWN);
      return "end";
    }
    return lease ?? this.#reply(option, NBD_REP.ERR_UNKNOWN);
  }

  async #hold(name: string): Promise<ExportLease | undefined> {
    if (this.#lease?.name === name) return this.#lease.held;
    await this.#letGo();
    const held = await this.#settings.table.acquire(name);
    if (held !== undefined) this.#lease = { name, held };
    return held;
  }

  async #letGo(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.held.release();
  }

  #refuse(option: number, error: unknown): "next" {
    this.#settings.onProblem(error);
    const isPolicy = isLambdaImgError(error) && (error.kind === "denied" || error.kind === "limit");
    const type = isPolicy ? NBD_REP.ERR_POLICY : NBD_REP.ERR_UNKNOWN;
    return this.#reply(option, type, codec.encodeString(errorTextOf(error)));
  }
}

/** NBD_FLAG_* for a device. CAN_MULTI_CONN: all connections share the device, and its flush covers every write. */
function transmissionFlags(device: BlockDevice, isStructured: boolean): number {
  const always = NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_FLUSH | NBD_FLAG.CAN_MULTI_CONN | NBD_FLAG.SEND_CACHE;
  const writable =
    NBD_FLAG.SEND_FUA | NBD_FLAG.SEND_TRIM | NBD_FLAG.SEND_WRITE_ZEROES | NBD_FLAG.SEND_FAST_ZERO;
  return always | (device.isReadOnly ? NBD_FLAG.READ_ONLY : writable) | (isStructured ? NBD_FLAG.SEND_DF : 0);
}

function violation(found: string): LambdaImgError {
  return new LambdaImgError("NBD_PROTOCOL", `handshake: found ${found}`);
}
