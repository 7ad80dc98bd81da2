/** `lambda-img verify`: reads all of an image, twice if asked to, and says what is not as it should be. */
import { showByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { LAYER_BYTES_MAX_DEFAULT } from "../base/limit.ts";
import { showBytes } from "../base/units.ts";
import { hostPlatform } from "../oci/host-platform.ts";
import { parsePlatform } from "../oci/platform.ts";
import type { OciImage } from "../source/oci-image.ts";
import { openImage } from "../source/open-image.ts";
import { parseImageReference } from "../source/reference.ts";
import type { Difference, DifferenceList } from "../verify/difference.ts";
import {
  verifyImage,
  type Verification,
  type VerifyProgress,
  type VerifyReport,
} from "../verify/verify-image.ts";
import { openContext, openImageManifest, type CommonOptions } from "./context.ts";
import { registryOptions, type RegistryCliOptions } from "./_registry.ts";
import { bytesJson, type Output } from "./output.ts";
import { parseSize } from "./parse-size.ts";

/** The command's options as commander gives them. */
export interface VerifyOptions extends CommonOptions, RegistryCliOptions {
  readonly source?: string;
  readonly platform?: string;
  readonly maxLayerSize?: string;
  /** False with `--no-ext2fs`. */
  readonly ext2fs: boolean;
}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Verifies, prints what was found, and throws VERIFY_FAILED if that is anything. */
export async function verify(image: string, options: VerifyOptions, use: Use): Promise<void> {
  const source = await openSource(options, use);
  try {
    const context = await openContext(options, { create: false, output: use.output });
    try {
      const { manifestId, content } = await openImageManifest(context, image);
      const report = await verifyImage({
        store: context.store,
        manifestId,
        content,
        customerKey: context.keyring.customerKey(),
        withExt2fs: options.ext2fs,
        source,
        signal: use.signal,
        onProgress: (progress) => {
          use.output.status(() => showProgress(progress));
        },
      });
      const reference = options.source;
      use.output.result(toJson(report, { image, manifestId, reference }), () =>
        toText(report, { image, manifestId, reference }),
      );
      if (!report.isOk) throw failure(image, report);
    } finally {
      await context.store.close();
    }
  } finally {
    await source?.image.close();
  }
}

async function openSource(options: VerifyOptions, use: Use): Promise<Verification["source"]> {
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const layerBytesMax =
    options.maxLayerSize === undefined
      ? LAYER_BYTES_MAX_DEFAULT
      : parseSize(options.maxLayerSize, "--max-layer-size");
  if (options.source === undefined) return undefined;
  const reference = parseImageReference(options.source);
  const image: OciImage = await openImage(reference, {
    platform,
    defaultPlatform: hostPlatform(),
    registry: await registryOptions(reference, options, use.signal),
    signal: use.signal,
  });
  return { image, layerBytesMax };
}

interface Subject {
  readonly image: string;
  readonly manifestId: string;
  readonly reference: string | undefined;
}

function toJson(report: VerifyReport, { image, manifestId, reference }: Subject): Record<string, unknown> {
  const { chunks, diskDigest, files, ext2fs, source } = report;
  return {
    command: "verify",
    image,
    manifest: manifestId,
    ok: report.isOk,
    chunks: {
      checked: chunks.checkedCount,
      damaged: chunks.damaged.map(({ chunkIndex, ...damage }) => ({ index: chunkIndex, ...damage })),
      more: chunks.moreDamaged,
    },
    disk: { expected: diskDigest.expected, found: diskDigest.found ?? null },
    fileSystem: fileSystemJson(files),
    ext2fs: {
      ran: ext2fs !== undefined,
      ...(ext2fs === undefined
        ? {}
        : {
            paths: ext2fs.pathCount,
            notVisible: ext2fs.notReadCount,
            ...(ext2fs.failure === undefined ? {} : { failure: ext2fs.failure }),
            ...differencesJson(ext2fs.differences),
          }),
    },
    source: {
      ran: source !== undefined,
      ...(reference === undefined ? {} : { reference }),
      ...(source === undefined ? {} : differencesJson(source.differences)),
    },
  };
}

function fileSystemJson(files: VerifyReport["files"]): Record<string, unknown> {
  if (files === undefined) return { ran: false };
  if (files.problem !== undefined) return { ran: true, error: files.problem };
  return { ran: true, paths: files.pathCount, files: files.fileCount, bytes: files.fileBytes };
}

function differencesJson({ kept, more }: DifferenceList): Record<string, unknown> {
  const differences = kept.map(({ path, field, expected, found }) => ({
    ...bytesJson("path", path),
    field,
    expected,
    found,
  }));
  return { differences, more };
}

const SHOWN_MAX = 20;

function toText(report: VerifyReport, { image, manifestId, reference }: Subject): string {
  const { chunks, diskDigest, files, ext2fs, source } = report;
  const lines = [`${image}: ${manifestId}: ${report.isOk ? "ok" : "NOT OK"}`];
  const damagedCount = chunks.damaged.length + chunks.moreDamaged;
  lines.push(`  chunks       ${chunks.checkedCount} read, ${damagedCount} damaged`);
  lines.push(...someOf(chunks.damaged, damagedCount, ({ message }) => message));
  if (diskDigest.found === diskDigest.expected) lines.push(`  disk         digest ${diskDigest.found}`);
  else if (diskDigest.found !== undefined) {
    lines.push(`  disk         digest: expected ${diskDigest.expected}, found ${diskDigest.found}`);
  }
  if (files === undefined) lines.push("  files        not read: chunks are damaged");
  else if (files.problem !== undefined) lines.push(`  files        ${files.problem.message}`);
  else {
    lines.push(
      `  files        ${files.pathCount} paths, ${files.fileCount} files of ${showBytes(files.fileBytes)}`,
    );
  }
  if (ext2fs === undefined) lines.push("  ext2fs       not asked");
  else {
    const unread = ext2fs.notReadCount === 0 ? "" : `, ${ext2fs.notReadCount} files not read for their holes`;
    lines.push(`  ext2fs       ${ext2fs.pathCount} paths${unread}, ${countOf(ext2fs.differences)}`);
    if (ext2fs.failure !== undefined) lines.push(`    the independent reader failed: ${ext2fs.failure}`);
    lines.push(...shownDifferences(ext2fs.differences));
  }
  if (source === undefined) {
    lines.push(`  source       ${reference === undefined ? "not given" : "not compared"}`);
  } else {
    lines.push(`  source       ${reference ?? ""}: ${countOf(source.differences)}`);
    lines.push(...shownDifferences(source.differences));
  }
  return `${lines.join("\n")}\n`;
}

function countOf({ kept, more }: DifferenceList): string {
  const count = kept.length + more;
  return count === 1 ? "1 difference" : `${count} differences`;
}

function shownDifferences({ kept, more }: DifferenceList): string[] {
  return someOf(kept, kept.length + more, showDifference);
}

function showDifference({ path, field, expected, found }: Difference): string {
  const where = path === "" ? field : `${showByteString(path)}: ${field}`;
  return `${where}: expected ${expected}, found ${found}`;
}

function someOf<T>(items: readonly T[], count: number, show: (item: T) => string): string[] {
  const lines = items.slice(0, SHOWN_MAX).map((item) => `    ${show(item)}`);
  if (count > SHOWN_MAX)
    lines.push(`    ... and ${count - SHOWN_MAX} more${count > 0 ? " (--json lists them)" : ""}`);
  return lines;
}

/** One sentence with the first thing that is wrong, and how many there are of each kind. */
function failure(image: string, report: VerifyReport): LambdaImgError {
  const { chunks, diskDigest, files, ext2fs, source } = report;
  const damagedChunks = chunks.damaged.length + chunks.moreDamaged;
  const differences = [ext2fs, source].flatMap((part) => (part === undefined ? [] : [part.differences]));
  const differenceCount = differences.reduce((sum, { kept, more }) => sum + kept.length + more, 0);
  const [first] = differences.flatMap(({ kept }) => kept.map(showDifference));
  const what =
    chunks.damaged[0]?.message ??
    files?.problem?.message ??
    (diskDigest.found === diskDigest.expected
      ? undefined
      : `disk digest: expected ${diskDigest.expected}, found ${diskDigest.found ?? "none"}`) ??
    (ext2fs?.failure === undefined ? undefined : `the independent reader failed: ${ext2fs.failure}`) ??
    first ??
    "differences";
  return new LambdaImgError("VERIFY_FAILED", `${image}: not as it should be: ${what}`, {
    details: { damagedChunks, differences: differenceCount },
  });
}

function showProgress({ stage, done, total }: VerifyProgress): string {
  const of = total === undefined ? "" : ` of ${total}`;
  switch (stage) {
    case "chunks":
      return `reading chunks: ${done}${of}`;
    case "files":
      return `reading files: ${done}${of}`;
    case "ext2fs":
      return `reading with libext2fs: ${done}${of} paths`;
    case "source":
      return `reading the source: ${showBytes(done)} unpacked`;
  }
}
