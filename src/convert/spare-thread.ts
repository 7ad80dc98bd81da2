/**
 * A sealing thread that is started before it is known what it will seal with. It takes some 40 ms to start, in which the
 * calling thread can load the rest of the program and open the image, on another processor.
 */
import { threadIfGiven } from "../base/thread.ts";
import { SealingThread } from "./_sealing-thread.ts";

/** Close it once; what `take` has given is no longer its own. */
export class SpareThread {
  #thread: SealingThread | undefined = threadIfGiven(() => new SealingThread());

  /** The thread, the first time; `undefined` later, and where the system gave none. */
  take(): SealingThread | undefined {
    const thread = this.#thread;
    this.#thread = undefined;
    return thread;
  }

  /** Ends the thread where nobody took it. */
  async close(): Promise<void> {
    await this.take()?.close();
  }
}
