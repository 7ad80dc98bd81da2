/** Platforms of images (image-spec image-index.md, "platform"; names as in Go), read and compared as containerd does. */
import { LambdaImgError } from "../base/error.ts";

/** An operating system and a processor; the variant refines the processor (`v7` of arm). Normal form. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/**
 * Reads `os/architecture[/variant]` as a user writes it.
 * @throws USAGE_INVALID where it has another form; PLATFORM_UNSUPPORTED where the system is not linux
 */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const [os, architecture, variant] = parts;
  const isWellFormed = parts.length <= 3 && parts.every((part) => /^[A-Za-z0-9_.-]+$/.test(part));
  if (!isWellFormed || os === undefined || architecture === undefined) {
    throw new LambdaImgError(
      "USAGE_INVALID",
      `invalid platform: expected os/architecture[/variant] such as linux/arm64, found ${JSON.stringify(text.slice(0, 100))}`,
    );
  }
  const platform = normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  checkLinux(platform, `platform ${text}`);
  return platform;
}

/** @throws PLATFORM_UNSUPPORTED where the operating system is not linux */
export function checkLinux(platform: Platform, where: string): void {
  if (platform.os === "linux") return;
  throw new LambdaImgError(
    "PLATFORM_UNSUPPORTED",
    `${where}: unsupported platform: expected the os linux, found ${JSON.stringify(platform.os.slice(0, 100))}`,
    { details: { os: platform.os } },
  );
}

/** The one way to write a platform that has several: `linux/aarch64/v8` is `linux/arm64`. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const spelled = platform.architecture.toLowerCase();
  const [architecture, impliedVariant] = ARCHITECTURES.get(spelled) ?? [spelled, ""];
  const given = (platform.variant ?? "").toLowerCase();
  const variant = normalVariant(architecture, given === "" ? impliedVariant : given);
  return { os, architecture, ...(variant === "" ? {} : { variant }) };
}

/** `linux/arm/v7`. */
export function showPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  const text = variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
  return /^[\x21-\x7e]{1,100}$/.test(text) ? text : JSON.stringify(text.slice(0, 100));
}

/**
 * How well a machine for `wanted` runs an image for `found`: 0 is best, higher is worse, `undefined` is not
 * at all. A processor runs what is made for lower versions of itself; no other architecture is tried.
 */
export function platformDistance(wanted: Platform, found: Platform): number | undefined {
  if (wanted.os !== found.os || wanted.architecture !== found.architecture) return undefined;
  if (wanted.variant === found.variant) return 0;
  const most = variantVersion(wanted);
  const has = variantVersion(found);
  if (most === undefined || has === undefined || has > most) return undefined;
  return most - has;
}

const ARCHITECTURES: ReadonlyMap<string, readonly [string, string]> = new Map([
  ["x86_64", ["amd64", ""]],
  ["x86-64", ["amd64", ""]],
  ["i386", ["386", ""]],
  ["i486", ["386", ""]],
  ["i586", ["386", ""]],
  ["i686", ["386", ""]],
  ["aarch64", ["arm64", ""]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
]);

function normalVariant(architecture: string, variant: string): string {
  if (architecture === "386") return "";
  const name = /^[0-9]/.test(variant) ? `v${variant}` : variant;
  if (architecture === "amd64") return name === "v1" ? "" : name;
  if (architecture === "arm64") return name === "v8" || name === "v8.0" ? "" : name.replace(/\.0$/, "");
  // Without a variant, arm means v7, as in containerd.
  if (architecture === "arm") return name === "" ? "v7" : name;
  return variant;
}

/** A number to compare variants of one architecture by; `undefined` where they have no order. */
function variantVersion(platform: Platform): number | undefined {
  const base = platform.architecture === "amd64" ? "v1" : platform.architecture === "arm64" ? "v8" : "";
  const match = /^v([0-9]{1,2})(?:\.([0-9]{1,2}))?$/.exec(platform.variant ?? base);
  if (match === null || !["amd64", "arm64", "arm"].includes(platform.architecture)) return undefined;
  const major = Number(match[1]);
  // ARMv9.0 has what ARMv8.5 has, and so on: five minor versions lie between them.
  return platform.architecture === "arm64" ? major * 5 + Number(match[2] ?? "0") : major;
}
