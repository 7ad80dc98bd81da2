/** Makes of a layer's tar a list of its entries, each file's content as a digest. */
import { LambdaImgError } from "../base/error.ts";
import type { TarEntry, TarSink } from "../tar/entry.ts";
import { ContentDigestBuilder } from "./content-digest.ts";

/** One entry of a layer. */
export interface LayerRecord {
  readonly entry: TarEntry;
  /** Of files: content-digest.ts; empty for all else. */
  readonly content: string;
}

/** Receives a layer's tar from a TarParser and keeps its entries, without the bytes of files. */
export class LayerRecords implements TarSink {
  readonly #records: LayerRecord[] = [];
  #entry: TarEntry | undefined;
  #digest: ContentDigestBuilder | undefined;
  /** Where the next body bytes stand in the file, and how many of them are left before the next hole. */
  #offsetBytes = 0;
  #regionRest = 0;
  #regionIndex = 0;

  get records(): readonly LayerRecord[] {
    return this.#records;
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
    if (entry.type !== "file") return;
    this.#digest = new ContentDigestBuilder();
    this.#regionIndex = 0;
    this.#offsetBytes = 0;
    this.#regionRest = entry.sparseRegions === undefined ? entry.sizeBytes : 0;
  }

  body(piece: Uint8Array): void {
    let rest = piece;
    while (rest.length > 0) {
      while (this.#regionRest === 0) this.#nextRegion();
      const part = rest.subarray(0, this.#regionRest);
      this.#digest?.add(this.#offsetBytes, part);
      this.#offsetBytes += part.length;
      this.#regionRest -= part.length;
      rest = rest.subarray(part.length);
    }
  }

  entryEnd(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    const content = entry.type === "file" ? (this.#digest?.finish(entry.sizeBytes) ?? "") : "";
    this.#records.push({ entry, content });
    this.#entry = undefined;
    this.#digest = undefined;
  }

  #nextRegion(): void {
    const region = this.#entry?.sparseRegions?.[this.#regionIndex++];
    if (region === undefined) throw new LambdaImgError("TAR_INVALID", "a body longer than its regions");
    this.#offsetBytes = region.offsetBytes;
    this.#regionRest = region.sizeBytes;
  }
}
