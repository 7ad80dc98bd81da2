// ⚡ uses: file system
/** The file that `--html` names. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import { outputExists, writeNewFile } from "./_output-file.ts";

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
  await writeNewFile(resolve(options.html), { isForced: options.force === true }, (file) =>
    file.writeFile(text),
  );
}
