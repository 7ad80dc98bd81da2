/** All that can be checked of an image in a store, one check after another, none stopped by what another found. */
import { isLambdaImgError, type ErrorCode } from "../base/error.ts";
import { asByteString } from "../base/bytes.ts";
import type { Digest } from "../base/digest.ts";
import type { CustomerKey } from "../crypto/customer-key.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader } from "../ext4/reader.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import type { OciImage } from "../source/oci-image.ts";
import type { ChunkReader } from "../store/store.ts";
import { checkChunks, type ChunkReport } from "./check-chunks.ts";
import { compareTrees } from "./compare-trees.ts";
import { DifferenceList } from "./difference.ts";
import { expectedTree } from "./expected-tree.ts";
import { compareWithExt2fs, type Ext2fsOptions, type Ext2fsReport } from "./ext2fs-witness.ts";
import type { FileTree } from "./file-tree.ts";
import { readLayers } from "./read-layers.ts";
import { readTree, type TreeReading } from "./read-tree.ts";

/** What to verify and how far; nothing of it is closed here. */
export interface Verification {
  readonly store: ChunkReader & { readonly path: string };
  readonly manifestId: ManifestId;
  readonly content: ManifestContent;
  readonly customerKey: CustomerKey;
  /** Whether the second reader is to read the disk image too. */
  readonly withExt2fs: boolean;
  readonly ext2fsProgram?: URL;
  /** The image that the disk image must hold. */
  readonly source?: { readonly image: OciImage; readonly layerBytesMax: number } | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done; for people. */
  onProgress?(progress: VerifyProgress): void;
}

/** Where a verification is. */
export interface VerifyProgress {
  readonly stage: "chunks" | "files" | "ext2fs" | "source";
  readonly done: number;
  /** Absent where it is not known. */
  readonly total?: number;
}

/** What was found. A check that could not be made, or was not asked for, is `undefined`. */
export interface VerifyReport {
  readonly isOk: boolean;
  readonly chunks: ChunkReport;
  readonly diskDigest: { readonly expected: Digest; readonly found: Digest | undefined };
  readonly files: FilesReport | undefined;
  readonly ext2fs: Ext2fsReport | undefined;
  readonly source: { readonly differences: DifferenceList } | undefined;
}

/** What our own reader saw, or what it refused. */
export type FilesReport =
  | ({ readonly problem?: undefined; readonly pathCount: number } & Pick<
      TreeReading,
      "fileCount" | "fileBytes"
    >)
  | { readonly problem: { readonly code: ErrorCode; readonly message: string } };

/**
 * Verifies. Damage of any kind is in the report; only what keeps us from looking is thrown. With damaged chunks
 * the files are not looked at: that would say the same once more, less clearly.
 * @throws what the store and the source throw for other reasons than damaged chunks; CANCELLED
 */
export async function verifyImage(verification: Verification): Promise<VerifyReport> {
  const { store, content, signal } = verification;
  const device = new ImageDevice(store, content);
  const chunkTotal = content.indexes.length;
  const chunks = await checkChunks(device, content, {
    signal,
    onChunk: (done) => verification.onProgress?.({ stage: "chunks", done, total: chunkTotal }),
  });
  const diskDigest = { expected: content.image.diskDigest, found: chunks.diskDigest };
  const isDiskRight = chunks.diskDigest === content.image.diskDigest;
  const none = { files: undefined, ext2fs: undefined, source: undefined };
  if (chunks.damaged.length > 0) return { isOk: false, chunks, diskDigest, ...none };
  const reading = await readFiles(device, verification);
  if (!("tree" in reading)) return { isOk: false, chunks, diskDigest, ...none, files: reading };
  const { tree, fileCount, fileBytes } = reading;
  const files = { pathCount: tree.size, fileCount, fileBytes };
  const { ext2fs, source } = await compareWithBoth(tree, verification);
  const isOk =
    isDiskRight &&
    (ext2fs === undefined || (ext2fs.failure === undefined && ext2fs.differences.kept.length === 0)) &&
    (source === undefined || source.differences.kept.length === 0);
  return { isOk, chunks, diskDigest, files, ext2fs, source };
}

async function readFiles(
  device: ImageDevice,
  verification: Verification,
): Promise<TreeReading | Extract<FilesReport, { problem: object }>> {
  try {
    const reader = await Ext4Reader.open(device);
    return await readTree(reader, {
      signal: verification.signal,
      onFile: (done, total) => verification.onProgress?.({ stage: "files", done, total }),
    });
  } catch (error) {
    if (!isLambdaImgError(error, "DISK_IMAGE_INVALID", "DISK_IMAGE_UNSUPPORTED")) throw error;
    return { problem: { code: error.code, message: error.message } };
  }
}

/** The second reader works in a process of its own, meanwhile the source is read in this one. */
async function compareWithBoth(
  tree: FileTree,
  verification: Verification,
): Promise<Pick<VerifyReport, "ext2fs" | "source">> {
  const stop = new AbortController();
  const signals = verification.signal === undefined ? [] : [verification.signal];
  const both = { ...verification, signal: AbortSignal.any([stop.signal, ...signals]) };
  try {
    const [ext2fs, source] = await Promise.all([
      verification.withExt2fs ? askExt2fs(tree, both) : undefined,
      compareWithSource(tree, both),
    ]);
    return { ext2fs, source };
  } finally {
    stop.abort();
  }
}

function askExt2fs(tree: FileTree, verification: Verification): Promise<Ext2fsReport> {
  const { store, manifestId, customerKey, signal, ext2fsProgram } = verification;
  const options: Ext2fsOptions = {
    signal,
    onPath: (done) => verification.onProgress?.({ stage: "ext2fs", done, total: tree.size }),
    ...(ext2fsProgram === undefined ? {} : { program: ext2fsProgram }),
  };
  return compareWithExt2fs({ storePath: store.path, manifestId, customerKey }, tree, options);
}

async function compareWithSource(
  tree: FileTree,
  verification: Verification,
): Promise<{ readonly differences: DifferenceList } | undefined> {
  const { source, content, signal } = verification;
  if (source === undefined) return undefined;
  const { image, layerBytesMax } = source;
  let tarBytes = 0;
  const layers = await readLayers(image, {
    layerBytesMax,
    signal,
    onBytes: (sizeBytes) => {
      tarBytes += sizeBytes;
      verification.onProgress?.({ stage: "source", done: tarBytes });
    },
  });
  const differences = new DifferenceList();
  differences.compare(asByteString(""), "sourceDigest", {
    expected: image.sourceDigest,
    found: content.image.sourceDigest,
  });
  differences.addAll(compareTrees(expectedTree(layers, content.image.options.mtime), tree));
  return { differences };
}
