/** The two ways in which a disk image can be refused. */
import { LambdaImgError } from "../base/error.ts";

/** DISK_IMAGE_INVALID: the structure at `where` breaks the format. */
export function invalidImage(
  where: string,
  expected: string | number,
  found: string | number,
): LambdaImgError {
  const details = { where, expected, found };
  return new LambdaImgError("DISK_IMAGE_INVALID", `${where}: expected ${expected}, found ${found}`, {
    details,
  });
}

/** DISK_IMAGE_UNSUPPORTED: valid ext4 perhaps, but not what this reader reads. */
export function unsupportedImage(
  where: string,
  supported: string | number,
  found: string | number,
): LambdaImgError {
  const details = { where, supported, found };
  return new LambdaImgError("DISK_IMAGE_UNSUPPORTED", `${where}: ${found} (supported: ${supported})`, {
    details,
  });
}

/** A bit mask for a message. */
export function showBits(bits: number): string {
  return `0x${(bits >>> 0).toString(16)}`;
}

/** Throws DISK_IMAGE_INVALID unless the checksums agree. */
export function requireChecksum(where: string, computed: number, stored: number): void {
  if (computed !== stored) throw invalidImage(`${where} checksum`, showBits(computed), showBits(stored));
}
