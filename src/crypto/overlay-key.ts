/** The key of an overlay that outlives its process. docs/serve.md, "The key of an overlay file". */
import { fromHex } from "../base/bytes.ts";
import { digestHex, type Digest } from "../base/digest.ts";
import type { CustomerKey } from "./customer-key.ts";
import { asOverlayKey, type OverlayKey } from "./overlay-seal.ts";
import { derive } from "./_derive.ts";

/** The customer's key for overlays over the disk image of that digest: the same at every start of a server. */
export function overlayKeyOf(key: CustomerKey, diskDigest: Digest): OverlayKey {
  return asOverlayKey(derive(key, { salt: fromHex(digestHex(diskDigest)), info: "lambda-img overlay v1" }));
}
