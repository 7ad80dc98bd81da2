/**
 * Layers that were converted before, by the same customer under the same root and parameters: their records say what they
 * became, so that they are neither pulled nor read. docs/format/record.md, "Segments".
 */
import { utf8ByteString } from "../base/bytes.ts";
import { BinaryWriter } from "../base/binary.ts";
import type { DiffId } from "../base/digest.ts";
import { isLambdaImgError } from "../base/error.ts";
import { CHUNK_BYTES, chunkNameAt, DIGEST_BYTES } from "../chunk/chunk.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openRecord, recordNameOf, sealRecord } from "../crypto/record-seal.ts";
import { saltOf } from "../crypto/salt.ts";
import { LAYOUT_VERSION } from "../ext4/profile.ts";
import {
  clearBytesOf,
  decodeSegment,
  encodeSegment,
  type SegmentContent,
} from "../segment/segment-record.ts";
import type { RecordPlace, Store } from "../store/store.ts";
import { ChunkLedger } from "./chunk-sealer.ts";
import type { ConvertedLayer } from "./convert-layer.ts";

/** Finds and keeps the records of layers in one store, for one customer. */
export class LayerReuse {
  readonly #store: Store;
  readonly #keyring: Keyring;

  constructor(store: Store, keyring: Keyring) {
    this.#store = store;
    this.#keyring = keyring;
  }

  /**
   * The layer as it was converted, or `undefined` where that is not known: without a record, with one that is damaged,
   * forged or of another version, and where a chunk is gone.
   */
  async find(diffId: DiffId): Promise<ConvertedLayer | undefined> {
    const place = this.#placeOf(diffId);
    const bytes = await this.#store.getRecord(place);
    const content = bytes && this.#open(place, bytes);
    if (content === undefined) return undefined;
    const ledger = ledgerOf(content);
    if ((await this.#store.missingChunks(ledger.names())).size > 0) return undefined;
    return { segment: content, ledger };
  }

  /** Keeps what a layer became. Its chunks are in the store and durable. */
  async keep(diffId: DiffId, { segment, ledger }: ConvertedLayer): Promise<void> {
    const place = this.#placeOf(diffId);
    const content = { ...ledger.stored(), ...segment };
    const bytes = sealRecord(place.name, encodeSegment(content), this.#keyring.customerKey());
    await this.#store.putRecord(place, bytes);
  }

  #open(place: RecordPlace, bytes: Uint8Array): SegmentContent | undefined {
    try {
      const record = { bytes, clearBytes: clearBytesOf(bytes) };
      const parts = openRecord(place.name, record, this.#keyring.customerKey());
      return parts && decodeSegment(parts);
    } catch (error) {
      if (isLambdaImgError(error, "STORE_INVALID")) return undefined;
      throw error;
    }
  }

  /** The name says all that decides what a layer becomes: its bytes, how they are laid out, and the salt. */
  #placeOf(diffId: DiffId): RecordPlace {
    const identity = new BinaryWriter();
    identity.text(utf8ByteString("segment"));
    identity.text(utf8ByteString(diffId));
    identity.number(LAYOUT_VERSION);
    identity.number(CHUNK_BYTES);
    identity.bytes(saltOf(this.#store.activeRoot().saltParameters));
    return {
      kind: "segments",
      customerId: this.#keyring.customerId,
      name: recordNameOf(identity.finish(), this.#keyring.customerKey()),
    };
  }
}

function ledgerOf({ ordinals, names, keys, plainDigests }: SegmentContent): ChunkLedger {
  const ledger = new ChunkLedger();
  ordinals.forEach((ordinal, position) => {
    const at = position * DIGEST_BYTES;
    ledger.set(ordinal, {
      name: chunkNameAt(names, at),
      key: keys.subarray(at, at + DIGEST_BYTES),
      plainDigest: plainDigests.subarray(at, at + DIGEST_BYTES),
    });
  });
  return ledger;
}
