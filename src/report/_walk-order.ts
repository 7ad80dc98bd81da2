/** The order in which a walk gives paths. */
import type { ByteString } from "../base/bytes.ts";

const SLASH = 0x2f;

/** The order of Ext4Reader.walk: names in byte order, and all below a directory right behind it. */
export function compareWalkOrder(left: ByteString, right: ByteString): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const ours = left.charCodeAt(at);
    const theirs = right.charCodeAt(at);
    if (ours === theirs) continue;
    // A slash ends a name, and the end comes before every byte that a name can have.
    return (ours === SLASH ? 0 : ours) - (theirs === SLASH ? 0 : theirs);
  }
  return left.length - right.length;
}
