/** What bytes are compressed with, by their first bytes: media types and file names are not asked. */
import { LambdaImgError } from "../base/error.ts";
import { toHex } from "../base/bytes.ts";

/** How bytes are compressed; `none` is anything that no known magic number begins. */
export type Compression = "none" | "gzip" | "zstd";

/** So many first bytes decide. */
export const COMPRESSION_HEAD_BYTES = 10;

/**
 * Tells from the first COMPRESSION_HEAD_BYTES, or from all bytes where there are fewer.
 * @throws COMPRESSION_UNSUPPORTED for bzip2, xz and lz4
 */
export function detectCompression(head: Uint8Array, label: string): Compression {
  const hex = toHex(head.subarray(0, COMPRESSION_HEAD_BYTES));
  if (hex.startsWith("1f8b")) return "gzip"; // RFC 1952 2.3.1, ID1 and ID2
  if (hex.startsWith("28b52ffd")) return "zstd"; // RFC 8878 3.1.1, Magic_Number
  if (/^5[0-9a-f]2a4d18/.test(hex)) return "zstd"; // RFC 8878 3.1.2, skippable frames
  const other = UNSUPPORTED.find(([pattern]) => pattern.test(hex))?.[1];
  if (other === undefined) return "none";
  throw new LambdaImgError(
    "COMPRESSION_UNSUPPORTED",
    `${label}: unsupported compression: expected gzip, zstd or none, found ${other}`,
    { details: { compression: other } },
  );
}

const UNSUPPORTED: readonly (readonly [RegExp, string])[] = [
  // A tar may begin with a file named BZh9: so the number of the first block (pi) or of the end (its root) too.
  [/^425a683[1-9](?:314159265359|177245385090)/, "bzip2"],
  [/^fd377a585a00/, "xz"],
  [/^04224d18/, "lz4"],
];
