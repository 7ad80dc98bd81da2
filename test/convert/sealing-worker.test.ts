import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { Worker } from "node:worker_threads";

import { describe, expect, test } from "vitest";

import { isAllZero } from "../../src/base/bytes.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { SALT } from "./_memory.ts";

const BUILT = path.resolve(import.meta.dirname, "../../dist/convert/sealing-worker.js");

describe.skipIf(!existsSync(BUILT))("a sealing thread (needs npm run build)", () => {
  async function ask(
    chunksDirectory: string,
    folder: string,
    plains: readonly Uint8Array[],
  ): Promise<unknown[]> {
    const place = { chunksDirectory, sessionDirectory: path.join(folder, "tmp") };
    const worker = new Worker(BUILT, { workerData: { compilesLater: false } });
    try {
      const replies: unknown[] = [];
      const done = new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("message", (reply) => {
          // The chunk's memory comes back, all zero.
          const { spent, ...facts } = reply as { spent?: Uint8Array };
          replies.push({
            ...facts,
            ...(spent === undefined ? {} : { spent: isAllZero(spent) ? spent.length : "not zero" }),
          });
          if (replies.length === plains.length) resolve();
        });
      });
      worker.postMessage({ kind: "start", salt: SALT, place });
      for (const plain of plains) worker.postMessage({ kind: "seal", plain });
      await done;
      return replies;
    } finally {
      await worker.terminate();
    }
  }

  test("answers in the order of the requests", async () => {
    const folder = temporaryDirectory();
    try {
      const plains = [3, 1, 2, 1].map((seed) => new Uint8Array(CHUNK_BYTES).fill(seed));
      mkdirSync(path.join(folder.path, "chunks"));
      const replies = await ask(path.join(folder.path, "chunks"), folder.path, plains);
      expect(replies).toEqual(
        plains.map((plain, i) => {
          const { plainDigest, key, name } = sealChunk(plain, SALT);
          const outcome = i === 3 ? "present" : "stored";
          return { kind: "stored", plainDigest, key, name, outcome, spent: CHUNK_BYTES };
        }),
      );
    } finally {
      folder.remove();
    }
  });

  test("answers a failure with plain values, without the key", async () => {
    const [reply] = await ask("/proc/none", "/proc/none", [new Uint8Array(CHUNK_BYTES).fill(1)]);
    expect(Object.keys(reply as object).sort((left, right) => (left < right ? -1 : 1))).toEqual([
      ...["code", "details", "kind", "message"],
    ]);
    expect(reply).toMatchObject({ kind: "failed", code: expect.stringMatching(/^STORE_/) as string });
  });
});
