// ⚡ uses: file system, chance
/** The file that `--html` names: it appears only whole, and replaces another only if that is asked for. */
import { randomBytes } from "node:crypto";
import { link, open, rename, stat, unlink } from "node:fs/promises";
import { resolve } from "node:path";

import { LambdaImgError, type ErrorCode } from "../base/error.ts";

/** The options as commander gives them. */
export interface HtmlOptions {
  readonly html?: string;
  readonly force?: boolean;
}

/**
 * Refuses what cannot be written before anything is read: a file that is there, and whatever is no file, since the
 * page would take its place and not go into it.
 * @throws OUTPUT_EXISTS, USAGE_INVALID
 */
export async function checkHtmlFile({ html, force }: HtmlOptions): Promise<void> {
  if (html === undefined) return;
  const found = await stat(html).catch(() => undefined); // What it fails of, writing fails of again.
  if (html === "" || html === "-" || found?.isFile() === false) {
    throw new LambdaImgError("USAGE_INVALID", `--html: expected a file, found ${JSON.stringify(html)}`);
  }
  if (found !== undefined && force !== true) throw outputExists(html);
}

/**
 * Writes the page.
 * @throws OUTPUT_EXISTS, OUTPUT_FORBIDDEN, OUTPUT_FULL, OUTPUT_UNAVAILABLE, PATH_NOT_FOUND, USAGE_INVALID
 */
export async function writeHtmlFile(options: HtmlOptions, text: string): Promise<void> {
  if (options.html === undefined) return;
  const path = resolve(options.html);
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (options.force === true) await rename(temporary, path);
    else await link(temporary, path);
  } catch (error) {
    throw outputError(error, options.html);
  } finally {
    await unlink(temporary).catch(() => undefined); // Renamed, or never made.
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  EACCES: "OUTPUT_FORBIDDEN",
  EPERM: "OUTPUT_FORBIDDEN",
  EROFS: "OUTPUT_FORBIDDEN",
  ENOSPC: "OUTPUT_FULL",
  EDQUOT: "OUTPUT_FULL",
  EFBIG: "OUTPUT_FULL",
  ENOENT: "PATH_NOT_FOUND",
  ENOTDIR: "PATH_NOT_FOUND",
  EISDIR: "USAGE_INVALID",
};

function outputError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return error;
  if (error.code === "EEXIST") return outputExists(path);
  const code = CODES[error.code] ?? "OUTPUT_UNAVAILABLE";
  return new LambdaImgError(code, `${path}: cannot write: ${error.code}`, { cause: error });
}

function outputExists(path: string): LambdaImgError {
  return new LambdaImgError("OUTPUT_EXISTS", `${path}: the file exists; --force replaces it`);
}
