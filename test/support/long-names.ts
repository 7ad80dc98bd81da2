/** Names of 255 bytes, of which few fill many blocks of a directory. */
import { asByteString, type ByteString } from "../../src/base/bytes.ts";
import { indexedBlockCount, indexNames } from "../../src/ext4/htree.ts";

/** A name of 255 bytes. */
export function longName(ordinal: number): ByteString {
  return asByteString(String(ordinal).padStart(255, "-"));
}

/** The first so many names of 255 bytes. */
export function longNames(count: number): ByteString[] {
  return Array.from({ length: count }, (_, i) => longName(i));
}

/** How many such names a directory takes before it has more than so many blocks, those of its index included. */
export function longNamesWithin(blockCount: number): number {
  let [most, tooMany] = [1, 1 << 14];
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (indexedBlockCount(indexNames(longNames(middle), () => "")) <= blockCount) most = middle;
    else tooMany = middle;
  }
  return most;
}
