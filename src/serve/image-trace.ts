/** Which chunks a start of an image reads, in order: a record beside the manifest, and a hint. docs/format/trace.md. */
import { BinaryWriter } from "../base/binary.ts";
import { utf8ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { TRACE_CHUNK_COUNT_MAX } from "../base/limit.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openRecord, recordNameOf, sealRecord } from "../crypto/record-seal.ts";
import type { ChunkTable } from "../manifest/manifest.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import type { RecordPlace, Store } from "../store/store.ts";
import { decodeTrace, encodeTrace } from "./trace-codec.ts";

/** Finds and keeps the traces of images in one store, for one customer. */
export class ImageTraces {
  readonly #store: Pick<Store, "getRecord" | "putRecord">;
  readonly #keyring: Keyring;

  constructor(store: Pick<Store, "getRecord" | "putRecord">, keyring: Keyring) {
    this.#store = store;
    this.#keyring = keyring;
  }

  /**
   * The chunks that a start of the image read, in order; `undefined` where nobody has recorded it. The store is asked at once,
   * whenever the manifest's table comes.
   * @throws STORE_INVALID where what is there is no trace of this image by this customer; what a store throws, and what
   *   `table` rejects with
   */
  async find(
    manifestId: ManifestId,
    table: ChunkTable | Promise<ChunkTable>,
  ): Promise<readonly number[] | undefined> {
    const place = this.#placeOf(manifestId);
    const [bytes, chunks] = await Promise.all([this.#store.getRecord(place), table]);
    if (bytes === undefined) return undefined;
    const parts = openRecord(place.name, { bytes, clearBytes: 0 }, this.#keyring.customerKey());
    if (parts === undefined) throw new LambdaImgError("STORE_INVALID", "trace: it is damaged, or another's");
    return decodeTrace(parts.secrets, chunks);
  }

  /** Keeps a trace in place of the one before. @throws what a store throws */
  async keep(manifestId: ManifestId, chunkIndexes: readonly number[]): Promise<void> {
    const place = this.#placeOf(manifestId);
    const parts = { clear: new Uint8Array(0), secrets: encodeTrace(chunkIndexes) };
    await this.#store.putRecord(place, sealRecord(place.name, parts, this.#keyring.customerKey()));
  }

  #placeOf(manifestId: ManifestId): RecordPlace {
    const identity = new BinaryWriter();
    identity.text(utf8ByteString("trace"));
    identity.text(utf8ByteString(manifestId));
    return {
      kind: "traces",
      customerId: this.#keyring.customerId,
      name: recordNameOf(identity.finish(), this.#keyring.customerKey()),
    };
  }
}

/** Notes which chunks are read, in the order of their first reads, up to TRACE_CHUNK_COUNT_MAX. */
export class TraceRecorder {
  readonly #found: Set<number> = new Set();
  #takenCount = 0;

  visited(chunkIndex: number): void {
    if (this.#found.size < TRACE_CHUNK_COUNT_MAX) this.#found.add(chunkIndex);
  }

  /** What was read so far; `undefined` where that is no more than it was the last time. */
  take(): readonly number[] | undefined {
    if (this.#found.size === this.#takenCount) return undefined;
    this.#takenCount = this.#found.size;
    return [...this.#found];
  }
}
