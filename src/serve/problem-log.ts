/** Says what goes wrong in a server, each thing once. */
import { isLambdaImgError } from "../base/error.ts";
import type { NbdProblem } from "../nbd/export.ts";
import type { ChunkEvent } from "./chunk-guard.ts";
import type { TraceEvent } from "./image-exports.ts";

/** Different texts that are said; what a client can cause shall not fill a disk with log. */
const TEXTS_MAX = 1000;

/** Turns problems and events into lines for people. */
export class ProblemLog {
  readonly #warn: (text: string) => void;
  readonly #said: Set<string> = new Set();

  /** `warn` is given lines without an end. */
  constructor(warn: (text: string) => void) {
    this.#warn = warn;
  }

  /** A problem of a connection. Failures of chunks are left out: the guard tells of them. */
  problem({ error }: NbdProblem): void {
    if (!isLambdaImgError(error)) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      this.#sayOnce(text);
    } else if (error.kind !== "cancelled" && error.details["chunkIndex"] === undefined) {
      this.#sayOnce(error.message);
    }
  }

  /** A chunk has begun to fail, or to work again. */
  chunk({ kind, image, chunkIndex, error }: ChunkEvent): void {
    const of = `of ${image.slice(0, 19)}`;
    if (kind === "recovered") this.#warn(`chunk ${chunkIndex} ${of} can be read again`);
    else if (kind === "failing-many") this.#warn("too many chunks fail to name them all");
    else this.#warn(`cannot read a chunk ${of}: ${error instanceof Error ? error.message : String(error)}`);
  }

  /** A trace is of no use: images are served without it. */
  trace({ kind, name, error }: Exclude<TraceEvent, { readonly kind: "kept" }>): void {
    const what = kind === "unusable" ? "nothing is read ahead by its trace" : "its trace was not kept";
    this.#sayOnce(`${name}: ${what}: ${error.message}`);
  }

  #sayOnce(text: string): void {
    if (this.#said.has(text) || this.#said.size > TEXTS_MAX) return;
    this.#said.add(text);
    this.#warn(this.#said.size > TEXTS_MAX ? "there are too many problems to name them all" : text);
  }
}
