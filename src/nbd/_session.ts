/** What the transmission of one connection goes by. */
import type { BlockDevice } from "../device/block-device.ts";
import type { Channel } from "./_channel.ts";
import type { ReplyError } from "./_request-codec.ts";
import type { RequestRules } from "./_request-rules.ts";
import type { NbdObserver } from "./observer.ts";

export interface Session {
  readonly channel: Channel;
  readonly device: BlockDevice;
  readonly rules: RequestRules;
  /** NBD_OPT_STRUCTURED_REPLY was agreed on. */
  readonly isStructured: boolean;
  /** What all requests are refused with from now on, if anything: the server is shutting down. */
  readonly refuseAll: () => ReplyError | undefined;
  readonly onProblem: (error: unknown) => void;
  readonly observer: NbdObserver | undefined;
  /** Comes when the client is gone: what it has asked for need not be waited for. */
  readonly gone: AbortSignal;
}
