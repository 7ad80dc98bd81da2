/** The images of a store as NBD exports, each with an overlay of its own. docs/serve.md. */
import type { DiskTier } from "../cache/disk-tier.ts";
import { TieredChunks } from "../cache/tiered-chunks.ts";
import type { LookupObserver } from "../chunk/lookup-observer.ts";
import { assert, definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import { overlayKeyOf } from "../crypto/overlay-key.ts";
import type { BlockDevice } from "../device/block-device.ts";
import { ImageBlockDevice } from "../device/image-block-device.ts";
import { ImageDevice } from "../device/image-device.ts";
import { OpenChunks } from "../device/open-chunks.ts";
import { OverlayDevice } from "../device/overlay-device.ts";
import type { OverlayStore } from "../device/overlay-store.ts";
import { openOverlayFile } from "../device/overlay-store-file.ts";
import { MemoryOverlayStore } from "../device/overlay-store-memory.ts";
import { diskBytes, type ManifestContent } from "../manifest/manifest.ts";
import { parseManifestId, type ManifestId } from "../manifest/manifest-id.ts";
import type { ListedExport, NbdExport, NbdExports } from "../nbd/export.ts";
import { imageError } from "../store/image-error.ts";
import type { ImageRef, ListedRef, Store } from "../store/store.ts";
import type { ChunkGuard } from "./chunk-guard.ts";
import { ImageTraces, TraceRecorder } from "./image-trace.ts";
import { ReadAhead } from "./read-ahead.ts";

/** Where writes go: nowhere, to memory, or to a file, with a bound on the bytes of written pages. */
export type OverlayChoice =
  | { readonly kind: "none" }
  | { readonly kind: "memory"; readonly maxBytes: number }
  | { readonly kind: "file"; readonly path: string; readonly maxBytes: number };

/** What becomes of traces, and what else is read ahead. */
export interface PrefetchChoice {
  /** Whether traces that are found are replayed when their images are opened. */
  readonly isReplaying: boolean;
  /** Whether what is read is recorded; only with exactly one image. */
  readonly isRecording: boolean;
  /** Chunks that are read ahead after each that is read. */
  readonly primeChunks: number;
}

/** A trace was kept, could not be kept, or cannot be used; none of these is the business of who reads. */
export type TraceEvent =
  | { readonly kind: "kept"; readonly name: string; readonly chunkCount: number }
  | { readonly kind: "not-kept" | "unusable"; readonly name: string; readonly error: LambdaImgError };

/** What is served, and how. The store and the cache stay the caller's. */
export interface ImageExportsOptions {
  readonly store: Pick<Store, "getChunk" | "getManifest" | "getRef" | "listRefs" | "getRecord" | "putRecord">;
  readonly keyring: Keyring;
  /** Names and manifest ids; if left out, every name of the store. With an overlay file exactly one. */
  readonly images?: readonly string[];
  readonly overlay: OverlayChoice;
  /** Whether names that are asked for stand, until `close`, for the manifests that they stand for at the start. */
  readonly isPinned?: boolean;
  readonly guard: ChunkGuard;
  /** Bytes of chunks that stay open, of all images together. */
  readonly memoryBytes: number;
  /** Where chunks of the store are kept on this machine. */
  readonly cache?: DiskTier;
  readonly prefetch: PrefetchChoice;
  /** Must not throw. */
  readonly onTrace?: (event: TraceEvent) => void;
  /** Told where chunks were looked for. */
  readonly observer?: LookupObserver;
}

/** An export as it is told to users. */
export interface ServedImage {
  /** The name or manifest id that clients ask for. */
  readonly name: string;
  readonly manifestId: ManifestId;
  readonly sizeBytes: number;
}

interface HeldImage {
  readonly content: ManifestContent;
  readonly device: BlockDevice;
  readonly readAhead: ReadAhead;
  readonly recorder: TraceRecorder | undefined;
}

/**
 * Exports by image name. An overlay begins when its image is first asked for, and is kept, while nobody uses it,
 * for as long as the name stands for that manifest, or until `close`.
 */
export class ImageExports implements NbdExports {
  readonly #options: ImageExportsOptions;
  readonly #traces: ImageTraces;
  readonly #chunks: TieredChunks;
  readonly #openChunks: OpenChunks;
  /** By key. */
  readonly #held: Map<string, Promise<HeldImage>> = new Map();
  /** Keys of exports that are open. */
  readonly #opened: Set<string> = new Set();
  /** Keys of images that clients use or are about to use. */
  readonly #wanted: Set<string> = new Set();
  /** Keys of names that do not follow the store: those that are to be pinned, or whose overlay is in a file. */
  readonly #pinned: Map<string, string> = new Map();
  /** Manifests that `prepare` has read, of several images that were asked for, each until its image is first opened. */
  readonly #prepared: Map<ManifestId, ManifestContent> = new Map();

  constructor(options: ImageExportsOptions) {
    const { images, overlay, prefetch } = options;
    assert(!prefetch.isRecording || images?.length === 1, "a trace is recorded of one image");
    assert(overlay.kind !== "file" || images?.length === 1, "an overlay file is for one image");
    this.#options = options;
    const { store, keyring, cache, observer, memoryBytes } = options;
    this.#traces = new ImageTraces(store, keyring);
    const told = observer === undefined ? {} : { observer };
    this.#chunks = new TieredChunks({ store, ...told, ...(cache === undefined ? {} : { disk: cache }) });
    this.#openChunks = new OpenChunks({ maxBytes: memoryBytes, ...told });
  }

  /**
   * Looks at every image that is to be served, and opens the overlay file. An image of which only the name was found
   * is told to `onUnusable`, if no images were asked for; otherwise it is an error. Errors name the image.
   * @throws what a store throws for a manifest; OVERLAY_INVALID, OVERLAY_CORRUPT, OVERLAY_VERSION_UNSUPPORTED,
   *   OVERLAY_UNAVAILABLE, OVERLAY_FULL
   */
  async prepare(onUnusable: (name: string, error: LambdaImgError) => void): Promise<readonly ServedImage[]> {
    const { images } = this.#options;
    const served: ServedImage[] = [];
    if (images !== undefined) {
      for (const name of images) served.push(await this.#prepareImage(name));
      return served;
    }
    for (const ref of await this.#refs()) {
      const { imageName: name } = ref;
      try {
        if ("error" in ref) throw ref.error;
        const { manifestId } = ref;
        // Of how many names there is no bound: nothing is kept of them.
        served.push({ name, manifestId, sizeBytes: diskBytes(await this.#openManifest(ref)) });
      } catch (error) {
        onUnusable(name, imageError(error, name));
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
    this.#opened.add(key);
    const holding = this.#hold(key);
    const { device, readAhead } = await holding;
    readAhead.start();
    this.#beginSession(key, holding);
    if (this.#options.overlay.kind === "memory") await this.#dropFormer(key);
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
    const { images } = this.#options;
    if (images !== undefined) return images.map((name) => ({ name }));
    // A name whose ref cannot be read stands for nothing that could be opened.
    return (await this.#refs()).flatMap((ref) => ("error" in ref ? [] : [{ name: ref.imageName }]));
  }

  /** Closes everything, overlays included; in a file they last. Call it when no client is left. */
  async close(): Promise<void> {
    for (const [key, holding] of [...this.#held]) {
      const held = await holding;
      await this.#endSession(key, held);
      this.#held.delete(key);
      await held.device.close();
    }
    await this.#chunks.settle();
  }

  async #prepareImage(name: string): Promise<ServedImage> {
    const { images, isPinned, overlay } = this.#options;
    const manifestId = await this.#manifestIdOf(name);
    const key = keyOf({ name, manifestId });
    if (isPinned === true || overlay.kind === "file") this.#pinned.set(name, key);
    if (images?.length === 1) {
      const holding = this.#hold(key);
      // Its first client is not waited for: while that one starts, what it is going to read comes nearer.
      this.#beginSession(key, holding);
      const { device } = await holding;
      return { name, manifestId, sizeBytes: device.sizeBytes };
    }
    const content = await this.#openManifest({ imageName: name, manifestId });
    this.#prepared.set(manifestId, content);
    return { name, manifestId, sizeBytes: diskBytes(content) };
  }

  #refs(): Promise<readonly ListedRef[]> {
    const { store, keyring } = this.#options;
    return store.listRefs(keyring.customerId);
  }

  async #manifestIdOf(name: string): Promise<ManifestId> {
    const { store, keyring } = this.#options;
    return parseManifestId(name) ?? (await store.getRef(keyring.customerId, name));
  }

  async #openManifest({ imageName, manifestId }: ImageRef): Promise<ManifestContent> {
    const { store, keyring } = this.#options;
    try {
      const bytes = await store.getManifest(keyring.customerId, manifestId);
      return openManifest(bytes, keyring.customerKey());
    } catch (error) {
      throw imageError(error, imageName);
    }
  }

  #hold(key: string): Promise<HeldImage> {
    const found = this.#held.get(key);
    if (found !== undefined) return found;
    const making = this.#make(key).catch((error: unknown) => {
      this.#held.delete(key);
      this.#opened.delete(key);
      this.#wanted.delete(key); // Nobody has a session with what could not be opened.
      throw error;
    });
    this.#held.set(key, making);
    return making;
  }

  async #make(key: string): Promise<HeldImage> {
    const { guard, overlay, prefetch } = this.#options;
    const { name: imageName, manifestId } = ofKey(key);
    // A manifest never changes: the one that was read at the start is as good as one that is read now.
    const content = this.#prepared.get(manifestId) ?? (await this.#openManifest({ imageName, manifestId }));
    this.#prepared.delete(manifestId);
    const guardLoad = guard.forImage(manifestId);
    const recorder = prefetch.isRecording ? new TraceRecorder() : undefined;
    const openChunks = this.#openChunks;
    const onVisit = (chunkIndex: number): void => {
      recorder?.visited(chunkIndex);
      readAhead.visited(chunkIndex);
    };
    const image = new ImageDevice(this.#chunks, content, { openChunks, guardLoad, onVisit });
    const readAhead = new ReadAhead({
      table: content,
      load: (chunkIndex) => image.readAhead(chunkIndex),
      // The other half is for what is being read.
      reachChunks: Math.ceil(openChunks.chunkCountMax / 2),
      primeChunks: prefetch.primeChunks,
    });
    const device =
      overlay.kind === "none"
        ? new ImageBlockDevice(image)
        : new OverlayDevice(image, await this.#openOverlay(overlay, content));
    return { content, device, readAhead, recorder };
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
    await this.#endSession(key, held);
    const isKept = this.#options.overlay.kind !== "none" && (await this.#isCurrent(key));
    this.#opened.delete(key);
    if (isKept) return;
    this.#held.delete(key);
    await held.device.close();
  }

  /**
   * What the name stood for before, and was kept for who comes back: nobody can any more. Images in use go with their
   * last client.
   */
  async #dropFormer(key: string): Promise<void> {
    const { name } = ofKey(key);
    for (const [former, holding] of [...this.#held]) {
      if (former === key || ofKey(former).name !== name || this.#opened.has(former)) continue;
      // Who comes late may have been told of this manifest before the name went to that one.
      if ((await this.#isCurrent(former)) || this.#opened.has(former)) continue;
      if (!this.#held.delete(former)) continue; // Another has dropped it meanwhile.
      const held = await holding;
      await this.#endSession(former, held);
      await held.device.close();
    }
  }

  /** Whoever opens the image does not wait for its trace, and may be the first to read. */
  #beginSession(key: string, holding: Promise<HeldImage>): void {
    if (this.#wanted.has(key)) return;
    this.#wanted.add(key);
    if (this.#options.prefetch.isReplaying) void this.#replay(key, holding);
  }

  async #replay(key: string, holding: Promise<HeldImage>): Promise<void> {
    const { name, manifestId } = ofKey(key);
    try {
      const table = holding.then(({ content }) => content);
      const trace = await this.#traces.find(manifestId, table);
      const { readAhead } = await holding;
      if (trace !== undefined && this.#wanted.has(key)) readAhead.replay(trace);
    } catch (error) {
      if (!isLambdaImgError(error)) throw error;
      const isOpened = await holding.then(
        () => true,
        () => false, // Whoever opens it is told why it cannot be: that says nothing of its trace.
      );
      if (isOpened) this.#options.onTrace?.({ kind: "unusable", name, error });
    }
  }

  /** Reads no more ahead, and keeps what was recorded since the start of this server. */
  async #endSession(key: string, held: HeldImage): Promise<void> {
    this.#wanted.delete(key);
    held.readAhead.stop();
    const trace = held.recorder?.take();
    if (trace === undefined) return;
    const { name, manifestId } = ofKey(key);
    try {
      await this.#traces.keep(manifestId, trace);
      this.#options.onTrace?.({ kind: "kept", name, chunkCount: trace.length });
    } catch (error) {
      if (!isLambdaImgError(error)) throw error;
      this.#options.onTrace?.({ kind: "not-kept", name, error });
    }
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
