import { expect, test } from "vitest";

import { isAllZero } from "../../src/base/bytes.ts";
import { CHUNK_BYTES, chunkNameOf, plainDigestOf } from "../../src/chunk/chunk.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { openChunk, type ChunkKey } from "../../src/crypto/chunk-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import type { Store } from "../../src/store/store.ts";
import { MemoryChunks, SALT } from "./_memory.ts";

const plain = (): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(3);

test("what is stored opens to what was given, and its name is its digest", async () => {
  const store = new MemoryChunks();
  const sealer = new InlineSealer(store as Partial<Store> as Store, SALT);
  const chunk = await sealer.seal(plain());
  const sealed = await store.getChunk(chunk.name);
  expect(chunkNameOf(sealed)).toBe(chunk.name);
  expect(Buffer.compare(openChunk(sealed, chunk.key as ChunkKey), plain())).toBe(0);
  expect(chunk).toMatchObject({ plainDigest: plainDigestOf(plain()), outcome: "stored" });
  expect(chunk.spent.length).toBe(CHUNK_BYTES);
  expect(isAllZero(chunk.spent)).toBe(true);
  expect(await sealer.seal(plain())).toMatchObject({ name: chunk.name, outcome: "present" });
  await sealer.close();
  await sealer.close();
});

test("another salt gives another chunk", async () => {
  const store = new MemoryChunks();
  const other = saltOf({ rootId: "r1", epoch: 0, placement: "" });
  const names = [SALT, other].map(async (salt) => {
    return (await new InlineSealer(store as Partial<Store> as Store, salt).seal(plain())).name;
  });
  expect(new Set(await Promise.all(names)).size).toBe(2);
});

test("a failure of the store is its caller's", async () => {
  const store = { putChunk: () => Promise.reject(new Error("full")) };
  const sealer = new InlineSealer(store as Partial<Store> as Store, SALT);
  await expect(sealer.seal(plain())).rejects.toThrow("full");
});
