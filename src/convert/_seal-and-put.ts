/** What sealing a chunk comes to, in whichever thread. */
import { releaseBytes } from "../base/release.ts";
import { sealChunk } from "../crypto/chunk-seal.ts";
import type { Salt } from "../crypto/salt.ts";
import type { ChunkWriter } from "../store/chunk-writer.ts";
import type { StoredChunk } from "./chunk-sealer.ts";

/**
 * Seals a plain chunk and stages it.
 * @throws what ChunkWriter.putChunk throws
 */
export async function sealAndPut(
  plain: Uint8Array,
  { salt, writer }: { readonly salt: Salt; readonly writer: ChunkWriter },
): Promise<StoredChunk> {
  const { plainDigest, key, name, sealed } = sealChunk(plain, salt);
  const put = writer.putChunk(name, sealed);
  releaseBytes(sealed);
  plain.fill(0); // Here, and not where it is filled again: that thread has more to do.
  const outcome = await put;
  return { plainDigest, key, name, outcome, spent: plain };
}
