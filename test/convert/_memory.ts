/** A store in memory and images made of tars, for tests of conversion. */
import { createHash } from "node:crypto";
import path from "node:path";

import type { ChunkName } from "../../src/chunk/chunk.ts";
import { convertImage, type Conversion, type ConversionResult } from "../../src/convert/convert-image.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf, type Keyring } from "../../src/crypto/keyring.ts";
import { saltOf, type Salt } from "../../src/crypto/salt.ts";
import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { openImage } from "../../src/source/open-image.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import type { PutOutcome } from "../../src/store/store.ts";
import { temporaryDirectory, writeLayout, type LayoutLayer } from "../support/oci-layout.ts";

export const SALT: Salt = saltOf({ rootId: "r0", epoch: 0, placement: "" });
export const KEYRING: Keyring = keyringOf(asCustomerKey(new Uint8Array(32).fill(5)));

/** Sealed chunks by name, as a ChunkReader and what a sealer puts to. */
export class MemoryChunks {
  readonly chunks: Map<string, Uint8Array> = new Map();

  putChunk(name: ChunkName, sealed: Uint8Array): Promise<PutOutcome> {
    if (this.chunks.has(name)) return Promise.resolve("present");
    this.chunks.set(name, Uint8Array.from(sealed));
    return Promise.resolve("stored");
  }

  getChunk(name: ChunkName): Promise<Uint8Array> {
    const sealed = this.chunks.get(name);
    if (sealed === undefined) return Promise.reject(new Error(`no chunk ${name}`));
    return Promise.resolve(Uint8Array.from(sealed));
  }
}

/** A conversion that was run, and the plain disk image that its manifest stands for. */
export interface Converted {
  readonly result: ConversionResult;
  readonly disk: Uint8Array;
}

/** A store and a place for layouts, in a temporary directory. */
export class ConvertPlace {
  readonly #folder = temporaryDirectory();
  #layoutCount = 0;

  get storePath(): string {
    return path.join(this.#folder.path, "store");
  }

  remove(): void {
    this.#folder.remove();
  }

  layout(layers: readonly LayoutLayer[]): string {
    return writeLayout(path.join(this.#folder.path, `layout${this.#layoutCount++}`), [{ layers }]);
  }

  /** Converts an image of these layers into the store; what is given replaces parts of the conversion. */
  async convert(layers: readonly LayoutLayer[], change: Partial<Conversion> = {}): Promise<Converted> {
    const image = await openImage(parseImageReference(`oci:${this.layout(layers)}`), {
      platform: undefined,
      defaultPlatform: parsePlatform("linux/amd64"),
    });
    const store = await DirectoryStore.open(this.storePath, { create: true });
    try {
      const keyring = change.keyring ?? KEYRING;
      const conversion: Conversion = {
        image,
        store,
        sealer: new InlineSealer(store, SALT),
        keyring,
        imageName: "test",
        sizeRequest: { kind: "total", sizeBytes: 8 * 2 ** 20 },
        mtimePolicy: { kind: "preserve" },
        mayReuse: true,
        layerBytesMax: 2 ** 30,
        ...change,
      };
      const result = await convertImage(conversion);
      const bytes = await store.getManifest(keyring.customerId, result.manifestId);
      const device = new ImageDevice(store, openManifest(bytes, keyring.customerKey()));
      return { result, disk: await device.read(0, device.sizeBytes) };
    } finally {
      await store.close();
      await image.close();
    }
  }
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
