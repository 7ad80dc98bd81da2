/** Sizes as users write them. */
import { LambdaImgError } from "../base/error.ts";
import { GIB, KIB, MIB, TIB } from "../base/units.ts";
import type { SizeRequest } from "../ext4/geometry.ts";

const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["K", KIB],
  ["M", MIB],
  ["G", GIB],
  ["T", TIB],
]);

/**
 * A number of bytes: digits, and K, M, G or T (with or without iB) for powers of 1024.
 * @throws SIZE_INVALID naming the option
 */
export function parseSize(text: string, option: string): number {
  const match = /^([0-9]+)([KMGT]?)(?:iB|B)?$/i.exec(text);
  const sizeBytes = Number(match?.[1]) * (UNITS.get((match?.[2] ?? "").toUpperCase()) ?? 1);
  if (match === null || !Number.isSafeInteger(sizeBytes) || sizeBytes === 0) {
    throw new LambdaImgError(
      "SIZE_INVALID",
      `${option}: invalid size: expected a number such as 1048576, 512M or 10G, found ${JSON.stringify(text)}`,
    );
  }
  return sizeBytes;
}

/** `10G` is the whole disk, `+2G` free room besides the content, `auto` leaves it to the program. */
export function parseSizeRequest(text: string): SizeRequest {
  if (text === "auto") return { kind: "auto" };
  if (text.startsWith("+")) return { kind: "free", sizeBytes: parseSize(text.slice(1), "--size") };
  return { kind: "total", sizeBytes: parseSize(text, "--size") };
}
