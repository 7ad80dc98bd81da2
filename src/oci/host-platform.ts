// ⚡ uses: process
/** The platform of this machine, as images name it. */
import { normalizePlatform, type Platform } from "./platform.ts";

/** Linux on this machine's processor: what is chosen from an index when the user names no platform. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: "linux", architecture: GO_NAMES.get(process.arch) ?? process.arch });
}

/** Node's names (process.arch) that are not Go's (GOARCH). */
const GO_NAMES: ReadonlyMap<string, string> = new Map([
  ["x64", "amd64"],
  ["ia32", "386"],
  ["ppc64", "ppc64le"], // Node supports little-endian POWER only.
  ["loong64", "loong64"],
]);
