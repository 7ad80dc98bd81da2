// ⚡ uses: file system, time
/** `lambda-img export`: a disk image or a tar, from the store. */
import { constants } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";

import { errnoOf, LambdaImgError } from "../base/error.ts";
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader } from "../ext4/reader.ts";
import { openContext, openImageManifest, type CommonOptions } from "./context.ts";
import { encodeTree } from "./_encode-tree.ts";
import { outputError, outputExists, writeNewFile } from "./_output-file.ts";
import { writeBytes, type Output } from "./output.ts";

/** The command's options as commander gives them. */
export interface ExportOptions extends CommonOptions {
  readonly output: string;
  readonly format: string;
  readonly force?: boolean;
}

/** How often it is looked whether somebody reads a pipe. */
const POLL_MS = 50;

/** Writes the image's disk or its files as a tar; a file appears under its name only when it is whole. */
export async function exportImage(
  image: string,
  options: ExportOptions,
  use: { readonly output: Output; readonly signal: AbortSignal },
): Promise<void> {
  const { format } = options;
  if (format !== "ext4" && format !== "tar") {
    throw new LambdaImgError(
      "USAGE_INVALID",
      `--format: expected ext4 or tar, found ${JSON.stringify(format)}`,
    );
  }
  const isStdout = options.output === "-";
  if (isStdout && options.json === true) {
    throw new LambdaImgError(
      "USAGE_INVALID",
      "--json: expected a file with --output, since stdout carries the image",
    );
  }
  const context = await openContext(options, { create: false, output: use.output });
  try {
    const { manifestId, content } = await openImageManifest(context, image);
    const device = new ImageDevice(context.store, content);
    const pieces = cancellable(
      format === "ext4" ? diskPieces(device) : encodeTree(await Ext4Reader.open(device)),
      use.signal,
    );
    const sizeBytes = isStdout
      ? await writeStdout(pieces)
      : await writeFile(resolve(options.output), pieces, {
          isForced: options.force === true,
          signal: use.signal,
        });
    if (isStdout) return;
    const json = {
      command: "export",
      image,
      manifest: manifestId,
      format,
      output: options.output,
      sizeBytes,
    };
    use.output.result(json, () => `${options.output}: ${showBytes(sizeBytes)}\n`);
  } finally {
    await context.store.close();
  }
}

/** Bytes, or as a number the size of a hole. */
type Piece = Uint8Array | number;

async function* diskPieces(device: ImageDevice): AsyncGenerator<Piece> {
  const chunkCount = device.sizeBytes / CHUNK_BYTES;
  // One chunk ahead: while one is written the next is read and verified.
  let next = chunkCount > 0 ? device.readChunk(0) : undefined;
  for (let chunkIndex = 0; chunkIndex < chunkCount; chunkIndex++) {
    const chunk = await next;
    next = chunkIndex + 1 < chunkCount ? device.readChunk(chunkIndex + 1) : undefined;
    // Whoever stops early must not leave a rejection that nobody hears.
    next?.catch(() => undefined);
    yield chunk ?? CHUNK_BYTES;
  }
}

async function* cancellable(pieces: AsyncIterable<Piece>, signal: AbortSignal): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    if (signal.aborted) throw new LambdaImgError("CANCELLED", "cancelled");
    yield piece;
  }
}

async function writeFile(
  path: string,
  pieces: AsyncIterable<Piece>,
  options: { readonly isForced: boolean; readonly signal: AbortSignal },
): Promise<number> {
  const found = await stat(path).catch(() => undefined); // What it fails of, opening fails of again.
  if (found !== undefined && !options.isForced && (found.isFile() || found.isBlockDevice()))
    throw outputExists(path);
  // A device or pipe is written to; renaming a file over it would replace it.
  if (found !== undefined && !found.isFile()) {
    return writeInPlace(path, pieces, { isPipe: found.isFIFO(), signal: options.signal });
  }
  return writeNewFile(path, options, (file) => writePieces(file, pieces));
}

async function writeInPlace(
  path: string,
  pieces: AsyncIterable<Piece>,
  options: { readonly isPipe: boolean; readonly signal: AbortSignal },
): Promise<number> {
  let sizeBytes = 0;
  try {
    const file = options.isPipe ? await openPipe(path, options.signal) : await open(path, constants.O_WRONLY);
    try {
      for await (const piece of pieces) {
        // What was there before must not show through a hole.
        const bytes = typeof piece === "number" ? new Uint8Array(piece) : piece;
        await file.appendFile(bytes);
        sizeBytes += bytes.length;
      }
      await file.datasync().catch((error: unknown) => {
        // Pipes and character devices have nothing to sync. A disk tells here, and once, of what it has not taken.
        if (errnoOf(error) !== "EINVAL") throw error;
      });
    } finally {
      await file.close();
    }
    return sizeBytes;
  } catch (error) {
    throw outputError(error, path);
  }
}

/**
 * Opens a named pipe when somebody reads it; until then a signal ends the waiting, which it could not if the system
 * waited. For writing only: were we a reader, too, what the others leave would be lost, and their end not be heard of.
 */
async function openPipe(path: string, signal: AbortSignal): Promise<FileHandle> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const probe = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        return await open(path, constants.O_WRONLY);
      } finally {
        await probe.close(); // Not before: the reader would take it for the end.
      }
    } catch (error) {
      if (errnoOf(error) !== "ENXIO") throw error;
    }
    await setTimeout(POLL_MS);
  }
}

async function writePieces(file: FileHandle, pieces: AsyncIterable<Piece>): Promise<number> {
  let at = 0;
  for await (const piece of pieces) {
    if (typeof piece === "number") {
      at += piece;
      continue;
    }
    for (let done = 0; done < piece.length;) {
      done += (await file.write(piece, done, piece.length - done, at + done)).bytesWritten;
    }
    at += piece.length;
  }
  await file.truncate(at); // A hole at the end is part of the size.
  return at;
}

async function writeStdout(pieces: AsyncIterable<Piece>): Promise<number> {
  let sizeBytes = 0;
  for await (const piece of pieces) {
    const bytes = typeof piece === "number" ? new Uint8Array(piece) : piece;
    await writeBytes(bytes);
    sizeBytes += bytes.length;
  }
  return sizeBytes;
}
