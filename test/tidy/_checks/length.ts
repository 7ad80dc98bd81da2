/** Files stay short enough to be read in one go. (The length of functions is eslint's.) */
import type { TextFile } from "./source.ts";

/** Lines that no source file passes; half of it is wished. */
export const FILE_LINES_MAX = 400;

/** Files of src/, test/ and scripts/ with too many lines. */
export function checkLength(files: readonly TextFile[]): string[] {
  return files
    .filter((file) => /^(src|test|scripts)\/.*\.(ts|mjs|py)$/.test(file.path))
    .map((file) => ({ file, lines: file.text.replace(/\n$/, "").split("\n").length }))
    .filter(({ lines }) => lines > FILE_LINES_MAX)
    .map(({ file, lines }) => `${file.path}: ${lines} lines, at most ${FILE_LINES_MAX}: split it by idea`);
}
