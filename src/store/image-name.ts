// ⚡ uses: Buffer
/** Image names as file names. docs/format/store.md, "Refs". */
import { LambdaImgError } from "../base/error.ts";
import { IMAGE_NAME_BYTES_MAX } from "../base/limit.ts";
import { sha256Digest, digestHex } from "../base/digest.ts";
import { showByteString, utf8ByteString } from "../base/bytes.ts";

// With room below the 255 bytes of a name for what a temporary file adds to it.
const ENCODED_BYTES_MAX = 200;

/**
 * The file name of an image name: lower-case letters, digits, `-`, `_` and `.` (but not at the start) stand for
 * themselves, each other byte of the UTF-8 form is `%` and two lower-case digits; where that is longer than 200
 * bytes, `%sha256-` and the digest of the name. Upper case is escaped for file systems that ignore case.
 * @throws REFERENCE_INVALID
 */
export function imageFileName(imageName: string): string {
  checkImageName(imageName);
  const bytes = new TextEncoder().encode(imageName);
  let encoded = "";
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    const isPlain = /[a-z0-9_-]/.test(character) || (character === "." && encoded !== "");
    encoded += isPlain ? character : `%${byte.toString(16).padStart(2, "0")}`;
  }
  // `s` is no hexadecimal digit: no escaped name starts so.
  return encoded.length <= ENCODED_BYTES_MAX ? encoded : `%sha256-${digestHex(sha256Digest(bytes))}`;
}

/** @throws REFERENCE_INVALID */
function checkImageName(imageName: string): void {
  const sizeBytes = Buffer.byteLength(imageName, "utf8");
  const isPrintable = !/[\p{C}\p{Zl}\p{Zp}]/u.test(imageName);
  if (sizeBytes >= 1 && sizeBytes <= IMAGE_NAME_BYTES_MAX && isPrintable) return;
  const shown = showByteString(utf8ByteString(imageName));
  throw new LambdaImgError(
    "REFERENCE_INVALID",
    `invalid image name: expected 1 to ${IMAGE_NAME_BYTES_MAX} bytes of printable text, found "${shown}" (${sizeBytes} bytes)`,
  );
}
