import { expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { ImageBlockDevice } from "../../src/device/image-block-device.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { deviceContract } from "../contract/device.ts";
import { makeChunkDisk } from "../support/chunk-disk.ts";

deviceContract("a disk image", () => {
  const { plain, store, content } = makeChunkDisk(4, [0, 2]);
  const device = new ImageBlockDevice(new ImageDevice(store, content));
  return Promise.resolve({ device, bytes: plain, remove: () => Promise.resolve() });
});

test("chunks that are not in the table are holes", async () => {
  const { store, content } = makeChunkDisk(6, [1, 2, 5]);
  const device = new ImageBlockDevice(new ImageDevice(store, content));
  const hole = { isZero: true, isHole: true };
  const filled = { isZero: false, isHole: false };
  expect(await device.extents({ offsetBytes: 5, sizeBytes: 6 * CHUNK_BYTES - 6 })).toEqual([
    { sizeBytes: CHUNK_BYTES - 5, ...hole },
    { sizeBytes: 2 * CHUNK_BYTES, ...filled },
    { sizeBytes: 2 * CHUNK_BYTES, ...hole },
    { sizeBytes: CHUNK_BYTES - 1, ...filled },
  ]);
});
