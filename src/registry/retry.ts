// ⚡ uses: time
/** Trying again: how often, and after how long. */
import { throwIfCancelled } from "../base/cancel.ts";
import { LambdaImgError } from "../base/error.ts";

/** Time and chance, so that tests can have their own. */
export interface Pace {
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 up to, but not including, 1. */
  random(): number;
  /** Resolves after the time, or as soon as the signal says so. */
  wait(delayMs: number, signal: AbortSignal | undefined): Promise<void>;
}

/** How to try again. */
export interface RetrySettings {
  readonly pace: Pace;
  /** Failures in a row until the last one is final. */
  readonly attemptCountMax: number;
  readonly baseDelayMs: number;
  readonly delayMsMax: number;
  /** What a server may ask for with Retry-After. */
  readonly retryAfterMsMax: number;
}

/** All but the pace: five attempts, which wait for 7 to 15 s in all. */
export const RETRY_DEFAULTS: Omit<RetrySettings, "pace"> = {
  attemptCountMax: 5,
  baseDelayMs: 1000,
  delayMsMax: 30_000,
  retryAfterMsMax: 120_000,
};

/** Runs `attempt` until it succeeds, fails for good, or the budget is used up. */
export async function retry<T>(
  attempt: () => Promise<T>,
  settings: RetrySettings,
  signal: AbortSignal | undefined,
): Promise<T> {
  const budget = new RetryBudget(settings);
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      await budget.wait(error, signal);
    }
  }
}

/** Counts failures in a row. */
export class RetryBudget {
  readonly #settings: RetrySettings;
  #failureCount = 0;

  constructor(settings: RetrySettings) {
    this.#settings = settings;
  }

  /** There was progress: the count starts anew. */
  reset(): void {
    this.#failureCount = 0;
  }

  /**
   * Waits until it is time to try again.
   * @throws the error where it can not be mended by trying again, or was the last of the budget; CANCELLED
   */
  async wait(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    throwIfCancelled(signal);
    this.#failureCount++;
    if (!(error instanceof LambdaImgError) || error.kind !== "unavailable") throw error;
    const { attemptCountMax, pace } = this.#settings;
    if (this.#failureCount >= attemptCountMax) throw error;
    await pace.wait(this.#delayMs(error), signal);
    throwIfCancelled(signal);
  }

  /** Exponential, with half of it left to chance, so that many clients do not come back at once. */
  #delayMs(error: LambdaImgError): number {
    const { baseDelayMs, delayMsMax, retryAfterMsMax, pace } = this.#settings;
    const fullMs = Math.min(delayMsMax, baseDelayMs * 2 ** (this.#failureCount - 1));
    const asked = error.details["retryAfterMs"];
    const askedMs = typeof asked === "number" ? Math.min(asked, retryAfterMsMax) : 0;
    return Math.max(askedMs, fullMs / 2 + (fullMs / 2) * pace.random());
  }
}

/**
 * The Retry-After field (RFC 7231 7.1.3) in milliseconds from `nowMs`; `undefined` where it is absent or no number of
 * seconds and no date.
 */
export function parseRetryAfter(field: string | undefined, nowMs: number): number | undefined {
  const text = field?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const date = parseHttpDate(text);
  return date === undefined ? undefined : Math.max(0, date - nowMs);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The one form that servers may send (RFC 7231 7.1.1.1, IMF-fixdate): `Sun, 06 Nov 1994 08:49:37 GMT`. */
function parseHttpDate(text: string): number | undefined {
  const match = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text);
  const month = MONTHS.indexOf(match?.[2] ?? "");
  if (match === null || month < 0) return undefined;
  const [day = 0, year = 0, hour = 0, minute = 0, second = 0] = [1, 3, 4, 5, 6].map((index) =>
    Number(match[index]),
  );
  return Date.UTC(year, month, day, hour, minute, second);
}
