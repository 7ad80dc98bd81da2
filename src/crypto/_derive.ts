/** HKDF-SHA-256 (RFC 5869). */
import { hkdfSync } from "node:crypto";

/** `length` bytes in fresh memory; without a salt, RFC 5869 takes 32 zero bytes. */
export function derive(
  secret: Uint8Array,
  use: { readonly info: string; readonly salt?: Uint8Array; readonly length?: number },
): Uint8Array {
  return new Uint8Array(
    hkdfSync("sha256", secret, use.salt ?? new Uint8Array(0), use.info, use.length ?? 32),
  );
}
