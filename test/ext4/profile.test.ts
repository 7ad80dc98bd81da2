// ⚡ uses: Buffer
import { describe, expect, test } from "vitest";

import { fromByteString, utf8ByteString, viewOf } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/digest.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { BLOCK_BYTES } from "../../src/ext4/constants.ts";
import { CHECKSUM_SEED, CHUNK_BLOCKS, HASH_SEED, VOLUME_NAME, VOLUME_UUID } from "../../src/ext4/profile.ts";

const digestOf = (text: string): Uint8Array => sha256(fromByteString(utf8ByteString(text)));

describe("the profile's constants are what their comments say", () => {
  test("the hash seed", () => {
    const view = viewOf(digestOf("lambda-img directory hash seed v1"));
    const bigEndian = [0, 4, 8, 12].map((at) => view.getUint32(at));
    const littleEndian = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
    expect([bigEndian, littleEndian]).toContainEqual([...HASH_SEED]);
  });

  test("the checksum seed", () => {
    const bytes = new Uint8Array(4);
    viewOf(bytes).setUint32(0, CHECKSUM_SEED, true);
    expect(String.fromCharCode(...bytes)).toBe("l-im");
  });

  test("the volume's name and UUID", () => {
    expect(VOLUME_NAME.length).toBeLessThanOrEqual(16);
    const uuid = digestOf("lambda-img volume v1").subarray(0, 16);
    // RFC 9562, version 8: the version's and the variant's bits are fixed.
    uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
    uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
    expect(VOLUME_UUID).toBe(Buffer.from(uuid).toString("hex"));
  });

  test("a chunk in blocks", () => {
    expect(CHUNK_BLOCKS * BLOCK_BYTES).toBe(CHUNK_BYTES);
  });
});
