/**
 * Images that were converted before from the same source with the same options: their manifest is what a conversion would
 * give, byte for byte. docs/format/record.md, "Conversions".
 */
import { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { equalBytes, utf8ByteString } from "../base/bytes.ts";
import { parseDigest } from "../base/digest.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import { openRecord, recordNameOf, sealRecord } from "../crypto/record-seal.ts";
import { saltOf } from "../crypto/salt.ts";
import { encodeImageRecord, type ImageRecord } from "../manifest/image-record.ts";
import { tableChunkNames, type ManifestContent } from "../manifest/manifest.ts";
import { parseManifestId, type ManifestId } from "../manifest/manifest-id.ts";
import type { RecordPlace, Store } from "../store/store.ts";

/** What decides what a conversion gives, besides customer and root. */
export type ConversionFacts = Omit<ImageRecord, "diskDigest" | "segments">;

/** What a conversion gave. */
export interface KnownImage {
  readonly manifestId: ManifestId;
  readonly clampedTimeCount: number;
}

/** Finds and keeps the records of conversions in one store, for one customer. */
export class KnownImages {
  readonly #store: Store;
  readonly #keyring: Keyring;

  constructor(store: Store, keyring: Keyring) {
    this.#store = store;
    this.#keyring = keyring;
  }

  /** What the conversion would give; `undefined` where that is not known, or no longer whole in the store. */
  async find(
    facts: ConversionFacts,
  ): Promise<(KnownImage & { readonly content: ManifestContent }) | undefined> {
    const place = this.#placeOf(facts);
    const bytes = await this.#store.getRecord(place);
    const parts = bytes && openRecord(place.name, { bytes, clearBytes: 0 }, this.#keyring.customerKey());
    if (parts === undefined) return undefined;
    try {
      const known = decode(parts.secrets);
      const manifest = await this.#store.getManifest(this.#keyring.customerId, known.manifestId);
      const content = openManifest(manifest, this.#keyring.customerKey());
      // The record says which manifest; only the manifest says what it is of.
      if (!equalBytes(encodeFacts(content.image), encodeFacts(facts))) return undefined;
      const missing = await this.#store.missingChunks(tableChunkNames(content));
      return missing.size > 0 ? undefined : { ...known, content };
    } catch (error) {
      if (isLambdaImgError(error, ...UNUSABLE)) return undefined;
      throw error;
    }
  }

  /** Keeps what the conversion gave; the manifest is in the store. */
  async keep(facts: ConversionFacts, known: KnownImage): Promise<void> {
    const place = this.#placeOf(facts);
    const writer = new BinaryWriter();
    writer.text(utf8ByteString(known.manifestId));
    writer.number(known.clampedTimeCount);
    const parts = { clear: new Uint8Array(0), secrets: writer.finish() };
    await this.#store.putRecord(place, sealRecord(place.name, parts, this.#keyring.customerKey()));
  }

  #placeOf(facts: ConversionFacts): RecordPlace {
    const identity = new BinaryWriter();
    identity.text(utf8ByteString("conversion"));
    identity.bytes(encodeFacts(facts));
    identity.number(CHUNK_BYTES);
    identity.bytes(saltOf(this.#store.activeRoot().saltParameters));
    return {
      kind: "conversions",
      customerId: this.#keyring.customerId,
      name: recordNameOf(identity.finish(), this.#keyring.customerKey()),
    };
  }
}

/** Failures that mean that the image has to be converted. */
const UNUSABLE = [
  "STORE_INVALID",
  "MANIFEST_NOT_FOUND",
  "MANIFEST_INVALID",
  "MANIFEST_VERSION_UNSUPPORTED",
  "MANIFEST_FORGED",
  "DIGEST_MISMATCH",
  "DOCUMENT_TOO_LARGE",
] as const;

const NO_DIGEST = parseDigest(`sha256:${"0".repeat(64)}`, "constant");

/** The image record without what only a conversion finds out. */
function encodeFacts(facts: ConversionFacts): Uint8Array {
  return encodeImageRecord({ ...facts, diskDigest: NO_DIGEST, segments: [] });
}

function decode(secrets: Uint8Array): KnownImage {
  const reader = new BinaryReader(secrets);
  const manifestId = parseManifestId(reader.text());
  const clampedTimeCount = reader.number();
  if (manifestId !== undefined && reader.isAtEnd) return { manifestId, clampedTimeCount };
  throw new LambdaImgError("STORE_INVALID", "conversion record: expected a manifest id and a count");
}
