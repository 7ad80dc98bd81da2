/** The end of work that nobody has use for any more. */
import { LambdaImgError } from "./error.ts";

/** @throws CANCELLED where the signal has come */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new LambdaImgError("CANCELLED", "cancelled", { cause: signal.reason });
}

/** What ends because of a signal ends with this. */
export function cancelled(): LambdaImgError {
  return new LambdaImgError("CANCELLED", "nobody waits for it any more");
}

/**
 * What `work` gives, unless the signal comes before.
 * @throws CANCELLED where it does; the work goes on then, and its failure is nobody's
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(cancelled());
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
    work
      .finally(() => {
        signal.removeEventListener("abort", onAbort);
      })
      .then(resolve, reject);
  });
}
