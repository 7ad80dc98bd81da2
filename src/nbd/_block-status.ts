/** What NBD_CMD_BLOCK_STATUS answers, asked from the device in steps, so that no answer outgrows its bound. */
import type { BlockDevice, DeviceExtent, DeviceRange } from "../device/block-device.ts";
import { STATUS_DESCRIPTORS_MAX, STATUS_STEP_BYTES } from "./_limit.ts";

/** How much is wanted. */
export interface StatusQuery {
  /** NBD_CMD_FLAG_REQ_ONE. */
  readonly isOneOnly: boolean;
}

/**
 * The extents from the start of the range (which is not empty), neighbours joined where they are alike. They may
 * cover less than the range: the client asks again for the rest.
 */
export async function collectExtents(
  device: BlockDevice,
  range: DeviceRange,
  query: StatusQuery,
): Promise<readonly DeviceExtent[]> {
  const countMax = query.isOneOnly ? 1 : STATUS_DESCRIPTORS_MAX;
  const found: DeviceExtent[] = [];
  const end = range.offsetBytes + range.sizeBytes;
  for (let at = range.offsetBytes; at < end; at += STATUS_STEP_BYTES) {
    const sizeBytes = Math.min(STATUS_STEP_BYTES, end - at);
    for (const extent of await device.extents({ offsetBytes: at, sizeBytes })) {
      if (!join(found, extent) && found.push(extent) > countMax) return found.slice(0, countMax);
    }
  }
  return found;
}

/** Lengthens the last extent, where the next one is like it. */
function join(found: DeviceExtent[], next: DeviceExtent): boolean {
  const last = found.at(-1);
  if (last === undefined || last.isZero !== next.isZero || last.isHole !== next.isHole) return false;
  found[found.length - 1] = { ...last, sizeBytes: last.sizeBytes + next.sizeBytes };
  return true;
}
