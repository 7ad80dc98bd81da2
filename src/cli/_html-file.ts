// ⚡ uses: file system
/** The file that `--html` names. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import { outputError, outputExists, writeNewFile } from "./_output-file.ts";

/** The options as commander gives them. */
export interface HtmlOptions {
  readonly html?: string;
  readonly force?: boolean;
}

/**
 * Refuses what cannot be written before anything is read: a file that is there, whatever is no file, since the
 * page would take its place and not go into it, and a directory that takes no file.
 * @throws OUTPUT_EXISTS, OUTPUT_FORBIDDEN, OUTPUT_UNAVAILABLE, PATH_NOT_FOUND, USAGE_INVALID
 */
export async function checkHtmlFile({ html, force }: HtmlOptions): Promise<void> {
  if (html === undefined) return;
  const found = await stat(html).catch(() => undefined); // What it fails of, its directory or writing fails of again.
  if (html === "-" || found?.isFile() === false) {
    throw new LambdaImgError("USAGE_INVALID", `--html: expected a file, found ${JSON.stringify(html)}`);
  }
  if (found !== undefined && force !== true) throw outputExists(html);
  const path = resolve(html);
  try {
    // With the slash a file in the directory's place is refused, too.
    await access(`${dirname(path)}/`, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw outputError(error, path);
  }
}

/**
 * Writes the page.
 * @throws OUTPUT_EXISTS, OUTPUT_FORBIDDEN, OUTPUT_FULL, OUTPUT_UNAVAILABLE, PATH_NOT_FOUND, USAGE_INVALID
 */
export async function writeHtmlFile(options: HtmlOptions, text: string): Promise<void> {
  if (options.html === undefined) return;
  await writeNewFile(resolve(options.html), { isForced: options.force === true }, (file) =>
    file.writeFile(text),
  );
}
