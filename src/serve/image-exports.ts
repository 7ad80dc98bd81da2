/** The images of a store as NBD exports, each with an overlay of its own. docs/serve.md. */
import { assert, definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import { overlayKeyOf } from "../crypto/overlay-key.ts";
import type { BlockDevice } from "../device/block-device.ts";
import { ImageBlockDevice } from "../device/image-block-device.ts";
import { ImageDevice } from "../device/image-device.ts";
import { OverlayDevice } from "../device/overlay-device.ts";
import type { OverlayStore } from "../device/overlay-store.ts";
import { openOverlayFile } from "../device/overlay-store-file.ts";
import { MemoryOverlayStore } from "../device/overlay-store-memory.ts";
import { diskBytes, type ManifestContent } from "../manifest/manifest.ts";
import { parseManifestId, type ManifestId } from "../manifest/manifest-id.ts";
import type { ListedExport, NbdExport, NbdExports } from "../nbd/export.ts";
import type { Store } from "../store/store.ts";
import type { ChunkGuard } from "./chunk-guard.ts";

/** Chunks that an image keeps open while it is in use: 16 MiB. */
const OPEN_CHUNKS_MAX = 32;

/** Where writes go: nowhere, to memory, or to a file, with a bound on the bytes of written pages. */
export type OverlayChoice =
  | { readonly kind: "none" }
  | { readonly kind: "memory"; readonly maxBytes: number }
  | { readonly kind: "file"; readonly path: string; readonly maxBytes: number };

/** What is served, and how. The store stays the caller's. */
export interface ImageExportsOptions {
  readonly store: Pick<Store, "getChunk" | "getManifest" | "getRef" | "listRefs">;
  readonly keyring: Keyring;
  /** Names and manifest ids; if left out, every name of the store. With an overlay file exactly one. */
  readonly images?: readonly string[];
  readonly overlay: OverlayChoice;
  readonly guard: ChunkGuard;
}

/** An export as it is told to users. */
export interface ServedImage {
  /** The name or manifest id that clients ask for. */
  readonly name: string;
  readonly manifestId: ManifestId;
  readonly sizeBytes: number;
}

interface HeldImage {
  readonly image: ImageDevice;
  readonly device: BlockDevice;
}

/**
 * Exports by image name. An overlay begins when its image is first asked for, and is kept, while nobody uses it,
 * for as long as the name stands for that manifest, or until `close`.
 */
export class ImageExports implements NbdExports {
  readonly #options: ImageExportsOptions;
  /** By key. */
  readonly #held: Map<string, Promise<HeldImage>> = new Map();
  /** Keys of names that do not follow the store: those whose overlay is in a file. */
  readonly #pinned: Map<string, string> = new Map();

  constructor(options: ImageExportsOptions) {
    const { images, overlay } = options;
    assert(overlay.kind !== "file" || images?.length === 1, "an overlay file is for one image");
    this.#options = options;
  }

  /**
   * Looks at every image that is to be served, and opens the overlay file. An image of which only the name was found
   * is told to `onUnusable`, if no images were asked for; otherwise it is an error.
   * @throws what a store throws for a manifest; OVERLAY_INVALID, OVERLAY_CORRUPT, OVERLAY_VERSION_UNSUPPORTED,
   *   OVERLAY_UNAVAILABLE, OVERLAY_FULL
   */
  async prepare(onUnusable: (name: string, error: unknown) => void): Promise<readonly ServedImage[]> {
    const { images, overlay } = this.#options;
    const served: ServedImage[] = [];
    for (const name of images ?? (await this.#names())) {
      try {
        const manifestId = await this.#manifestIdOf(name);
        const key = keyOf({ name, manifestId });
        if (overlay.kind === "file") {
          this.#pinned.set(name, key);
          await this.#hold(key);
        }
        served.push({ name, manifestId, sizeBytes: diskBytes(await this.#openManifest(manifestId)) });
      } catch (error) {
        if (images !== undefined || !isLambdaImgError(error)) throw error;
        onUnusable(name, error);
      }
    }
    return served;
  }

  async keyOf(exportName: string): Promise<string | undefined> {
    const { images } = this.#options;
    const name = exportName === "" && images?.length === 1 ? images[0] : exportName;
    if (name === undefined || name === "") return undefined;
    if (images === undefined ? parseManifestId(name) !== undefined : !images.includes(name)) return undefined;
    const pinned = this.#pinned.get(name);
    if (pinned !== undefined) return pinned;
    try {
      return keyOf({ name, manifestId: await this.#manifestIdOf(name) });
    } catch (error) {
      if (isLambdaImgError(error, "IMAGE_NOT_FOUND", "REFERENCE_INVALID")) return undefined;
      throw error;
    }
  }

  async open(key: string): Promise<NbdExport> {
    const { device } = await this.#hold(key);
    const { name, manifestId } = ofKey(key);
    return {
      name,
      description: manifestId,
      device,
      hasFastZeroes: !device.isReadOnly,
      close: () => this.#leave(key),
    };
  }

  async list(): Promise<readonly ListedExport[]> {
    const names = this.#options.images ?? (await this.#names());
    return names.map((name) => ({ name }));
  }

  /** Closes everything, overlays included; in a file they last. Call it when no client is left. */
  async close(): Promise<void> {
    for (const [key, held] of [...this.#held]) {
      this.#held.delete(key);
      await (await held).device.close();
    }
  }

  async #names(): Promise<readonly string[]> {
    const { store, keyring } = this.#options;
    return (await store.listRefs(keyring.customerId)).map(({ imageName }) => imageName);
  }

  async #manifestIdOf(name: string): Promise<ManifestId> {
    const { store, keyring } = this.#options;
    return parseManifestId(name) ?? (await store.getRef(keyring.customerId, name));
  }

  async #openManifest(manifestId: ManifestId): Promise<ManifestContent> {
    const { store, keyring } = this.#options;
    const bytes = await store.getManifest(keyring.customerId, manifestId);
    return openManifest(bytes, keyring.customerKey());
  }

  #hold(key: string): Promise<HeldImage> {
    const found = this.#held.get(key);
    if (found !== undefined) return found;
    const making = this.#make(key).catch((error: unknown) => {
      this.#held.delete(key);
      throw error;
    });
    this.#held.set(key, making);
    return making;
  }

  async #make(key: string): Promise<HeldImage> {
    const { store, guard, overlay } = this.#options;
    const { manifestId } = ofKey(key);
    const content = await this.#openManifest(manifestId);
    const guardLoad = guard.forImage(manifestId);
    const image = new ImageDevice(store, content, { openChunksMax: OPEN_CHUNKS_MAX, guardLoad });
    if (overlay.kind === "none") return { image, device: new ImageBlockDevice(image) };
    const pages = await this.#openOverlay(overlay, content);
    return { image, device: new OverlayDevice(image, pages) };
  }

  async #openOverlay(
    overlay: Exclude<OverlayChoice, { readonly kind: "none" }>,
    content: ManifestContent,
  ): Promise<OverlayStore> {
    const { maxBytes } = overlay;
    const sizeBytes = diskBytes(content);
    if (overlay.kind === "memory") return new MemoryOverlayStore({ sizeBytes, maxBytes });
    const { diskDigest } = content.image;
    const key = overlayKeyOf(this.#options.keyring.customerKey(), diskDigest);
    return (await openOverlayFile({ path: overlay.path, key, diskDigest, sizeBytes, maxBytes })).store;
  }

  /** The last client has left. What it has written stays, unless nobody can come back to it. */
  async #leave(key: string): Promise<void> {
    const held = await definite(this.#held.get(key), "an export that is open is held");
    held.image.forgetChunks();
    if (this.#options.overlay.kind !== "none" && (await this.#isCurrent(key))) return;
    this.#held.delete(key);
    await held.device.close();
  }

  async #isCurrent(key: string): Promise<boolean> {
    try {
      return (await this.keyOf(ofKey(key).name)) === key;
    } catch (error) {
      if (error instanceof LambdaImgError) return true; // The store cannot be asked now; nothing is thrown away for that.
      throw error;
    }
  }
}

/** A manifest id has no space in it. */
function keyOf({ name, manifestId }: { readonly name: string; readonly manifestId: ManifestId }): string {
  return `${manifestId} ${name}`;
}

function ofKey(key: string): { readonly name: string; readonly manifestId: ManifestId } {
  const space = key.indexOf(" ");
  const manifestId = definite(parseManifestId(key.slice(0, space)), "a key begins with a manifest id");
  return { name: key.slice(space + 1), manifestId };
}
