import { expect, it } from "vitest";
import { crc32c, crc32cOfZeros } from "../../src/ext4/crc32c.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

// RFC 3720, appendix B.4 "CRC Examples"; the RFC prints the bytes as they go on the wire, lowest first.
const ISCSI_READ = Uint8Array.from(
  [
    [0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18],
    [0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0],
  ].flat(),
);
const VECTORS: readonly [string, Uint8Array, number][] = [
  ["32 bytes of zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 bytes of ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["32 incrementing bytes", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ["32 decrementing bytes", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ["an iSCSI read command", ISCSI_READ, 0xd9963a56],
  ["the check string 123456789", ascii("123456789"), 0xe3069283],
  ["the empty string", new Uint8Array(0), 0],
];

it.each(VECTORS)("gives the published CRC, once complemented, of %s", (_name, bytes, expected) => {
  expect(~crc32c(0xffffffff, bytes) >>> 0).toBe(expected);
});

/** One bit at a time, straight from the definition. */
function slowCrc32c(seed: number, bytes: Uint8Array): number {
  let crc = seed | 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return crc >>> 0;
}

it("agrees with the definition for every length and alignment up to 80, and every kind of seed", () => {
  const bytes = Uint8Array.from({ length: 96 }, (_, i) => (i * i * 31 + 7) & 0xff);
  for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xdeadbeef, 0xffffffff]) {
    for (let start = 0; start < 9; start++) {
      for (let size = 0; size <= 80; size++) {
        const part = bytes.subarray(start, start + size);
        expect(crc32c(seed, part)).toBe(slowCrc32c(seed, part));
      }
    }
  }
});

it("continues from the checksum of the part before", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 0xff);
  const whole = crc32c(0xffffffff, bytes);
  for (const cut of [0, 1, 8, 13, 999, 1000]) {
    expect(crc32c(crc32c(0xffffffff, bytes.subarray(0, cut)), bytes.subarray(cut))).toBe(whole);
  }
});

it.each([0, 1, 8, 15, 16, 96, 4096])("over %d zeros it is what it is over their bytes", (size) => {
  const over = crc32cOfZeros(size);
  for (const crc of [0, 1, 0x80, 0x100, 0x7fffffff, 0x80000000, 0xdeadbeef, 0xffffffff]) {
    expect(over(crc)).toBe(slowCrc32c(crc, new Uint8Array(size)));
  }
});
