/** An image record and a manifest's content for tests. */
import { asDiffId, parseDigest } from "../../src/base/digest.ts";
import type { ImageRecord } from "../../src/manifest/image-record.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";

const digest = (digit: string): ReturnType<typeof parseDigest> =>
  parseDigest(`sha256:${digit.repeat(64)}`, "test");

export const sampleRecord: ImageRecord = {
  diskDigest: digest("a"),
  layoutVersion: 1,
  layerDiffIds: [asDiffId(digest("b")), asDiffId(parseDigest(`sha512:${"c".repeat(128)}`, "test"))],
  platform: { os: "linux", architecture: "arm64", variant: "v8" },
  run: {
    user: "1000:1000",
    workingDir: "/srv",
    env: ["PATH=/bin", "B=2", "A=1"],
    entrypoint: ["/bin/sh", "-c"],
    cmd: ['echo "hi"\n'],
    exposedPorts: ["80/tcp"],
    volumes: ["/data"],
    stopSignal: "SIGTERM",
    labels: [
      ["a", "1"],
      ["\uff61", "2"],
      ["\u{1f980}", "3"],
    ],
  },
  segments: [
    { firstChunk: 1, chunkCount: 40 },
    { firstChunk: 41, chunkCount: 0 },
  ],
  sourceDigest: digest("d"),
  options: { mtime: "keep", sizeRequest: "auto" },
};

/** `storedCount` chunks at even indexes; names and keys are made up. */
export function sampleContent(storedCount: number): ManifestContent {
  return {
    diskChunkCount: storedCount * 2 + 1,
    indexes: Uint32Array.from({ length: storedCount }, (_, position) => position * 2),
    names: Uint8Array.from({ length: storedCount * 32 }, (_, at) => at),
    keys: Uint8Array.from({ length: storedCount * 32 }, (_, at) => 255 - at),
    image: sampleRecord,
  };
}
