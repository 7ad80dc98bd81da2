// ⚡ uses: file system
/** Stores in a temporary directory, for tests of what later conversions use of earlier ones. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";

import { convertImage, type Conversion, type ConversionResult } from "../../src/convert/convert-image.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf, type Keyring } from "../../src/crypto/keyring.ts";
import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { openImage } from "../../src/source/open-image.ts";
import type { OciImage } from "../../src/source/oci-image.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import type { Store } from "../../src/store/store.ts";
import { digestOf, temporaryDirectory, writeLayout, type LayoutImage } from "./oci-layout.ts";

export const KEY_BYTES: Uint8Array = new Uint8Array(32).fill(5);
export const KEYRING: Keyring = keyringOf(asCustomerKey(KEY_BYTES));
export const OTHER_KEYRING: Keyring = keyringOf(asCustomerKey(new Uint8Array(32).fill(6)));

/** A conversion that was run. */
export interface ReuseRun {
  readonly result: ConversionResult;
  /** Digest of the plain disk image, read back from the store. */
  readonly disk: string;
  /** Layers that were asked of the source, by index; `undefined` where not even the question was put. */
  readonly layersRead: readonly number[] | undefined;
}

/** What a conversion is run with besides its layers. */
export interface ReuseUse extends Partial<Omit<Conversion, "image" | "store" | "sealer">> {
  /** The store's name; default `store`. */
  readonly at?: string;
  readonly image?: Partial<LayoutImage>;
  /** Stands between the conversion and its store. */
  readonly wrap?: (store: Store) => Store;
}

/** Everything that conversions have left in the stores of one directory. */
export class ReusePlace {
  readonly #folder = temporaryDirectory();
  #layoutCount = 0;

  get path(): string {
    return this.#folder.path;
  }

  remove(): void {
    this.#folder.remove();
  }

  /** The path of something in a store. */
  storePath(at: string, ...names: readonly string[]): string {
    return path.join(this.path, at, ...names);
  }

  layout(tars: readonly Uint8Array[], image: Partial<LayoutImage> = {}): string {
    const layers = tars.map((tar) => ({ tar, compression: "none" as const }));
    return writeLayout(this.storePath(`layout${this.#layoutCount++}`), [{ layers, ...image }]);
  }

  async open(at = "store"): Promise<DirectoryStore> {
    return DirectoryStore.open(this.storePath(at), { create: true });
  }

  /** Converts an image of these layers, and reads it back. */
  async convert(tars: readonly Uint8Array[], use: ReuseUse = {}): Promise<ReuseRun> {
    const { at, image: more, wrap = (store: Store): Store => store, ...change } = use;
    const layout = this.layout(tars, more);
    const opened = await openImage(parseImageReference(`oci:${layout}`), {
      platform: undefined,
      defaultPlatform: parsePlatform("linux/amd64"),
    });
    const store = await this.open(at);
    let layersRead: number[] | undefined;
    const image: OciImage = {
      ...{ sourceDigest: opened.sourceDigest, config: opened.config, layers: opened.layers },
      ...{ layersAtOnce: 1, pulledBytes: opened.pulledBytes, close: () => opened.close() },
      async *streamLayers(options) {
        layersRead = [];
        for await (const stream of opened.streamLayers(options)) {
          layersRead.push(stream.descriptor.layerIndex);
          yield stream;
        }
      },
    };
    try {
      const wrapped = wrap(store);
      const keyring = change.keyring ?? KEYRING;
      const result = await convertImage({
        ...{ image, store: wrapped, keyring, imageName: "test" },
        sealer: new InlineSealer(wrapped, saltOf(store.activeRoot().saltParameters)),
        sizeRequest: { kind: "total", sizeBytes: 8 * 2 ** 20 },
        mtimePolicy: { kind: "preserve" },
        mayReuse: true,
        layerBytesMax: 2 ** 30,
        ...change,
      });
      const disk = digestOf(await readDisk(store, keyring, result));
      return { result, disk, layersRead };
    } finally {
      await store.close();
      await opened.close();
      rmSync(layout, { recursive: true });
    }
  }

  /** The files below a store, whose paths match, with the digests of their bytes. */
  files(pattern: RegExp, at = "store"): ReadonlyMap<string, string> {
    const names = readdirSync(this.storePath(at), { recursive: true, withFileTypes: true })
      .filter((dirent) => dirent.isFile())
      .map((dirent) => path.relative(this.storePath(at), path.join(dirent.parentPath, dirent.name)))
      .filter((name) => pattern.test(name))
      .sort((left, right) => (left < right ? -1 : 1));
    return new Map(names.map((name) => [name, digestOf(readFileSync(this.storePath(at, name)))]));
  }

  /** Forgets what was converted to what, but no layer: the next conversion puts them together again. */
  forgetConversions(at = "store"): void {
    rmSync(this.storePath(at, "roots", "r0", "conversions"), { recursive: true, force: true });
  }
}

/** The plain disk image of a manifest. */
export async function readDisk(
  store: Store,
  keyring: Keyring,
  { manifestId }: Pick<ConversionResult, "manifestId">,
): Promise<Uint8Array> {
  const bytes = await store.getManifest(keyring.customerId, manifestId);
  const device = new ImageDevice(store, openManifest(bytes, keyring.customerKey()));
  return device.read(0, device.sizeBytes);
}

/** What must be equal where two conversions give the same. */
export function sameOf({ result, disk }: ReuseRun): Readonly<Record<string, unknown>> {
  const { manifestId, diskDigest, diskChunkCount, clampedTimeCount } = result;
  return { manifestId, diskDigest, diskChunkCount, clampedTimeCount, disk };
}

export const SEGMENT_FILES: RegExp = /segments\/[0-9a-f]{16}\/[0-9a-f]{64}$/;
export const CONVERSION_FILES: RegExp = /conversions\/[0-9a-f]{16}\/[0-9a-f]{64}$/;
export const MANIFEST_FILES: RegExp = /manifests\/[0-9a-f]{16}\/[0-9a-f]{64}$/;
export const CHUNK_FILES: RegExp = /chunks\/..\/[0-9a-f]{64}$/;
