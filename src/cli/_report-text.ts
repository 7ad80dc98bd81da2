/** What `stats` and `diff` print alike: tables, cut texts. */
import { showByteString, type ByteString } from "../base/bytes.ts";

/** Columns of a terminal that texts are made for. */
export const TEXT_COLUMNS = 100;

/** Columns as wide as their widest cell, numbers to the right: those of which the head begins with a space. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = [head.map((cell) => cell.trimStart()), ...rows.map((row) => row.map(shownText))];
  const widths = head.map((_, column) => Math.max(...shown.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return head[column]?.startsWith(" ") === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return shown.map((row) => `${line(row)}\n`).join("");
}

/** The text with what is harmful on a terminal replaced: control characters, and marks that turn the direction. */
function shownText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

/** At most `columns` characters: what is too long loses its middle, of which the ends of paths tell the least. */
export function shorten(text: string, columns: number): string {
  if (text.length <= columns) return text;
  const tail = Math.floor((columns - 3) * 0.75);
  return `${text.slice(0, columns - 3 - tail)}...${text.slice(text.length - tail)}`;
}

/** A path of an image, safe for a terminal, at most so many characters. */
export function shownPath(path: ByteString, columns: number): string {
  return shorten(showByteString(path), columns);
}

/** A whole number with commas: `1,234,567`. */
export function showCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 chunk`, `2 chunks`. */
export function plural(count: number, noun: string): string {
  return `${showCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** A part of a whole in per cent; of nothing, none. */
export function showPercent(part: number, whole: number): string {
  return whole === 0 ? "-" : `${((100 * part) / whole).toFixed(1)}%`;
}
