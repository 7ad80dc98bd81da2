// ⚡ uses: file system, time
/** A store in a local directory. docs/format/store.md has its layout and the order of writes. */
import { rename, rm, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";

import { assert, LambdaImgError } from "../base/error.ts";
import { digestHex } from "../base/digest.ts";
import { MANIFEST_BYTES_MAX, RECORD_BYTES_MAX, TRACE_BYTES_MAX } from "../base/limit.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import { checkSealedSize } from "../chunk/sealed-chunk.ts";
import type { CustomerId } from "../manifest/customer-id.ts";
import { decodeManifestTable } from "../manifest/manifest-codec.ts";
import { manifestIdOf, parseManifestId, type ManifestId } from "../manifest/manifest-id.ts";
import { chunkPath, stagedPath, type ChunkWriterPlace } from "./chunk-writer.ts";
import { imageFileName } from "./image-name.ts";
import type { ListedRef, PutOutcome, RecordPlace, RootState, Store } from "./store.ts";
import { hastenDurability, makeDurable } from "./_durability.ts";
import {
  fileBytes,
  isChunkFile,
  mkdirIfAbsent,
  namesIn,
  readFileChecked,
  replaceFile,
  storeError,
  syncPath,
  unlinkIfThere,
} from "./_file.ts";
import { adoptAbandoned, publishStaged } from "./_staging.ts";
import { createStore, isBlank, readRoots, readStoreFile, uniqueName } from "./_layout.ts";
import { encodeRef, readRef, sortRefs } from "./_ref-file.ts";

/** A store in a local directory. */
export class DirectoryStore implements Store {
  readonly path: string;
  readonly #root: RootState;
  readonly #rootDirectory: string;
  /** The active root's directory, then those of retired roots: where reads look, in order. */
  readonly #readDirectories: readonly string[];
  /** The chunks of those, in the same order. */
  readonly #chunkDirectories: readonly string[];
  /** Where new ones go: the active root's. */
  readonly #chunksDirectory: string;
  readonly #sessionDirectory: string;
  #isComparing = false;
  readonly #unsynced: Set<ChunkName> = new Set();
  /** A sync that runs, or how it failed: the kernel tells of a lost write once, and it may have told this one. */
  #hastened: Promise<{ readonly error: unknown } | undefined> | undefined;
  #putCount = 0;

  /**
   * Opens the store at `path`; with `create`, makes one of a directory that is absent or empty.
   * @throws STORE_NOT_FOUND; STORE_INVALID where the directory has something else in it;
   *   STORE_VERSION_UNSUPPORTED; STORE_CONFLICT without an active root; STORE_FORBIDDEN, STORE_FULL,
   *   STORE_UNAVAILABLE
   */
  static async open(path: string, options: { readonly create: boolean }): Promise<DirectoryStore> {
    try {
      // Both at once: where the store is far away, each costs a round trip.
      const early = readRoots(path).catch(() => []);
      if (await readStoreFile(path)) {
        const roots = await early;
        // None: it failed, or it was before somebody had made the first one.
        return new DirectoryStore(path, roots.length > 0 ? roots : await readRoots(path));
      }
      if (!(await isBlank(path)) && !(await readStoreFile(path))) throw notAStore(path);
      if (!options.create) throw new LambdaImgError("STORE_NOT_FOUND", `${path}: no store there`);
      await createStore(path);
      return new DirectoryStore(path, await readRoots(path));
    } catch (error) {
      throw storeError(error, `${path}: cannot open the store`);
    }
  }

  private constructor(path: string, roots: readonly RootState[]) {
    const active = roots.find((root) => root.state === "active");
    if (active === undefined)
      throw new LambdaImgError("STORE_CONFLICT", `${path}: the store has no active root`);
    const retired = roots.filter((root) => root.state === "retired");
    this.path = path;
    this.#root = active;
    this.#rootDirectory = join(path, "roots", active.rootId);
    this.#readDirectories = [active, ...retired].map((root) => join(path, "roots", root.rootId));
    this.#chunkDirectories = this.#readDirectories.map((directory) => join(directory, "chunks"));
    this.#chunksDirectory = join(this.#rootDirectory, "chunks");
    this.#sessionDirectory = join(this.#rootDirectory, "tmp", uniqueName());
  }

  activeRoot(): RootState {
    return this.#root;
  }

  /**
   * Where a ChunkWriter in a worker thread stages chunks of this store; `barrier`, given their names, puts them into the
   * store. What sessions that were killed have staged is taken over first. With `isComparing`, chunks that are there and have
   * been damaged are replaced; it costs reading all that are there.
   */
  async beginWriting({
    isComparing = false,
  }: { readonly isComparing?: boolean } = {}): Promise<ChunkWriterPlace> {
    this.#isComparing = isComparing;
    await this.#guard("cannot take over staged chunks", () => adoptAbandoned(this.#place));
    return this.#place;
  }

  async putChunk(name: ChunkName, sealed: Uint8Array): Promise<PutOutcome> {
    assert(sealed.length === CHUNK_BYTES, "a sealed chunk has 512 KiB");
    const path = this.#chunkPath(name);
    return this.#guard(`chunk ${name}: cannot store it`, async () => {
      const isPresent = (await fileBytes(path)) === CHUNK_BYTES;
      if (!isPresent) await this.#writeNew(path, sealed);
      // Also where it was present: who put it may not have reached a barrier.
      this.#unsynced.add(name);
      return isPresent ? "present" : "stored";
    });
  }

  async hasChunk(name: ChunkName): Promise<boolean> {
    return this.#guard(`chunk ${name}`, async () => {
      for (const directory of this.#chunkDirectories)
        if ((await fileBytes(chunkPath(directory, name))) === CHUNK_BYTES) return true;
      await this.#checkStoreIsThere();
      return false;
    });
  }

  async missingChunks(names: Iterable<ChunkName>): Promise<ReadonlySet<ChunkName>> {
    return this.#guard("cannot look for chunks", async () => {
      const missing = new Set<ChunkName>();
      let looked = 0;
      for (const name of new Set(names)) {
        // In spells, so that nobody waits for long.
        if (++looked % LOOKS_A_SPELL === 0) await setImmediate();
        const isThere = this.#chunkDirectories.some((directory) => isChunkFile(chunkPath(directory, name)));
        if (!isThere) missing.add(name);
      }
      if (missing.size > 0) await this.#checkStoreIsThere();
      return missing;
    });
  }

  async getChunk(name: ChunkName): Promise<Uint8Array> {
    const checkSize = (sizeBytes: number): void => {
      checkSealedSize(name, sizeBytes);
    };
    return this.#guard(`chunk ${name}: cannot read it`, async () => {
      const published = this.#chunkDirectories.map((directory) => chunkPath(directory, name));
      const staged = stagedPath(this.#sessionDirectory, name);
      // Where chunks are compared, what is staged is there for what is published being wrong.
      const paths = this.#isComparing ? [staged, ...published] : [...published, staged];
      for (const path of paths) {
        const bytes = await readFileChecked(path, checkSize);
        if (bytes !== undefined) return bytes;
      }
      await this.#checkStoreIsThere();
      throw new LambdaImgError("CHUNK_NOT_FOUND", `chunk ${name}: not in the store`, { details: { name } });
    });
  }

  hasten(): void {
    this.#hastened ??= hastenDurability(this.#rootDirectory).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
  }

  async barrier(chunks: Iterable<ChunkName> = []): Promise<void> {
    await this.#guard("cannot make the chunks durable", async () => {
      const hastened = await this.#hastened;
      this.#hastened = undefined;
      if (hastened !== undefined) throw hastened.error;
      const taken = [...this.#unsynced];
      const staged = [...chunks];
      const lost = await publishStaged(this.#place, staged);
      if (lost !== undefined) {
        await this.#checkStoreIsThere();
        throw new LambdaImgError("STORE_UNAVAILABLE", `chunk ${lost}: it was put, but is not there any more`);
      }
      await makeDurable(this.#rootDirectory, this.#chunkPaths([...taken, ...staged]));
      // What was put while the barrier ran waits for the next one.
      for (const name of taken) this.#unsynced.delete(name);
    });
  }

  async putManifest(customerId: CustomerId, bytes: Uint8Array): Promise<ManifestId> {
    decodeManifestTable(bytes);
    const manifestId = manifestIdOf(bytes);
    // The caller should have done this; nothing may refer to what is not durable.
    if (this.#unsynced.size > 0) await this.barrier();
    await this.#guard(`manifest ${manifestId}: cannot store it`, () =>
      this.#replace(["manifests", customerId, digestHex(manifestId)], bytes),
    );
    return manifestId;
  }

  async getManifest(customerId: CustomerId, manifestId: ManifestId): Promise<Uint8Array> {
    return this.#guard(`manifest ${manifestId}: cannot read it`, async () => {
      for (const directory of this.#readDirectories) {
        const path = join(directory, "manifests", customerId, digestHex(manifestId));
        const bytes = await readFileChecked(path, checkManifestSize);
        if (bytes !== undefined) return verifiedManifest(bytes, manifestId);
      }
      await this.#checkStoreIsThere();
      throw new LambdaImgError("MANIFEST_NOT_FOUND", `manifest ${manifestId}: not in the store`, {
        details: { manifest: manifestId },
      });
    });
  }

  async putRecord({ kind, customerId, name }: RecordPlace, bytes: Uint8Array): Promise<void> {
    const path = join(this.#rootDirectory, kind, customerId, name);
    await this.#guard(`record ${name}: cannot store it`, async () => {
      await mkdirIfAbsent(dirname(dirname(path)));
      await this.#writeNew(path, bytes);
    });
  }

  async getRecord({ kind, customerId, name }: RecordPlace): Promise<Uint8Array | undefined> {
    const path = join(this.#rootDirectory, kind, customerId, name);
    return this.#guard(`record ${name}: cannot read it`, async () => {
      // One that is too large is none of ours.
      const sizeBytes = await fileBytes(path);
      if (sizeBytes === undefined) await this.#checkStoreIsThere();
      const maxBytes = kind === "traces" ? TRACE_BYTES_MAX : RECORD_BYTES_MAX;
      if (sizeBytes === undefined || sizeBytes > maxBytes) return undefined;
      return readFileChecked(path, () => undefined);
    });
  }

  async listManifests(customerId: CustomerId): Promise<readonly ManifestId[]> {
    return this.#guard("cannot list manifests", async () => {
      const ids = new Set<ManifestId>();
      for (const [, name] of await this.#list("manifests", customerId)) {
        const id = parseManifestId(`sha256:${name}`);
        if (id !== undefined) ids.add(id);
      }
      return [...ids].sort((left, right) => (left < right ? -1 : 1));
    });
  }

  async putRef(customerId: CustomerId, imageName: string, manifestId: ManifestId): Promise<void> {
    const fileName = imageFileName(imageName);
    await this.getManifest(customerId, manifestId);
    await this.#guard(`${imageName}: cannot store the ref`, () =>
      this.#replace(["refs", customerId, fileName], encodeRef({ imageName, manifestId })),
    );
  }

  async getRef(customerId: CustomerId, imageName: string): Promise<ManifestId> {
    const fileName = imageFileName(imageName);
    return this.#guard(`${imageName}: cannot read the ref`, async () => {
      for (const directory of this.#readDirectories) {
        const ref = await readRef(join(directory, "refs", customerId), { fileName, imageName });
        if (ref === undefined) continue;
        if ("error" in ref) throw ref.error;
        return ref.manifestId;
      }
      await this.#checkStoreIsThere();
      throw new LambdaImgError("IMAGE_NOT_FOUND", `${imageName}: no image of that name in the store`, {
        details: { image: imageName },
      });
    });
  }

  async listRefs(customerId: CustomerId): Promise<readonly ListedRef[]> {
    return this.#guard("cannot list refs", async () => {
      const refs = new Map<string, ListedRef>();
      for (const [directory, fileName] of await this.#list("refs", customerId)) {
        if (refs.has(fileName)) continue; // An earlier root has it: that one holds.
        const ref = await readRef(directory, { fileName });
        if (ref !== undefined) refs.set(fileName, ref);
      }
      return sortRefs(refs.values());
    });
  }

  async removeRef(customerId: CustomerId, imageName: string): Promise<boolean> {
    const fileName = imageFileName(imageName);
    return this.#guard(`${imageName}: cannot remove the ref`, async () => {
      let isRemoved = false;
      for (const directory of this.#readDirectories) {
        const refs = join(directory, "refs", customerId);
        if (!(await unlinkIfThere(join(refs, fileName)))) continue;
        await syncPath(refs);
        isRemoved = true;
      }
      if (!isRemoved) await this.#checkStoreIsThere();
      return isRemoved;
    });
  }

  async close(): Promise<void> {
    // What stays behind is a temporary file that nothing refers to; closing must not fail over it.
    await rm(this.#sessionDirectory, { recursive: true, force: true }).catch(() => undefined);
  }

  get #place(): ChunkWriterPlace {
    return {
      chunksDirectory: this.#chunksDirectory,
      sessionDirectory: this.#sessionDirectory,
      isComparing: this.#isComparing,
    };
  }

  #chunkPath(name: ChunkName): string {
    return chunkPath(this.#chunksDirectory, name);
  }

  *#chunkPaths(names: Iterable<ChunkName>): Generator<string> {
    for (const name of new Set(names)) yield this.#chunkPath(name);
  }

  /** Makes the file these bytes, whole but not durable; also its directory, but none above. */
  async #writeNew(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = await this.#temporaryPath();
    try {
      await writeFile(temporary, bytes, { flag: "wx" });
      await mkdirIfAbsent(dirname(path));
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined); // It may not exist; the failure above is what counts.
      throw error;
    }
  }

  /** Makes a file of the active root these bytes: durable when this resolves. */
  async #replace(
    names: readonly [kind: string, customer: string, file: string],
    bytes: Uint8Array,
  ): Promise<void> {
    const path = join(this.#rootDirectory, ...names);
    await mkdirIfAbsent(dirname(path));
    await replaceFile(path, bytes, await this.#temporaryPath());
    await syncPath(dirname(dirname(path)));
  }

  async #temporaryPath(): Promise<string> {
    await mkdirIfAbsent(this.#sessionDirectory);
    return join(this.#sessionDirectory, `${this.#putCount++}`);
  }

  /** Directory and name of what every readable root has of a customer. */
  async #list(kind: string, customerId: CustomerId): Promise<readonly (readonly [string, string])[]> {
    const found: (readonly [string, string])[] = [];
    for (const root of this.#readDirectories) {
      const directory = join(root, kind, customerId);
      for (const name of await namesIn(directory)) found.push([directory, name]);
    }
    if (found.length === 0) await this.#checkStoreIsThere();
    return found;
  }

  /** "Not there" means something else where the whole store was removed or its disk is not mounted. */
  async #checkStoreIsThere(): Promise<void> {
    if ((await fileBytes(join(this.path, "store.json"))) === undefined) {
      throw new LambdaImgError("STORE_NOT_FOUND", `${this.path}: the store is not there any more`);
    }
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw storeError(error, `${this.path}: ${what}`);
    }
  }
}

/** Files looked for at a stretch. */
const LOOKS_A_SPELL = 1000;

function notAStore(path: string): LambdaImgError {
  return new LambdaImgError(
    "STORE_INVALID",
    `${path}: not a store: expected store.json or an empty directory, found other files`,
    { details: { path } },
  );
}

function checkManifestSize(sizeBytes: number): void {
  if (sizeBytes <= MANIFEST_BYTES_MAX) return;
  throw new LambdaImgError(
    "DOCUMENT_TOO_LARGE",
    `manifest too large: expected at most ${MANIFEST_BYTES_MAX} bytes, found ${sizeBytes}`,
    { details: { limit: MANIFEST_BYTES_MAX, found: sizeBytes } },
  );
}

function verifiedManifest(bytes: Uint8Array, manifestId: ManifestId): Uint8Array {
  const found = manifestIdOf(bytes);
  if (found === manifestId) return bytes;
  throw new LambdaImgError(
    "DIGEST_MISMATCH",
    `manifest: digest mismatch: expected ${manifestId}, found ${found}`,
    { details: { expected: manifestId, found } },
  );
}
