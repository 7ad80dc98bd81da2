import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  asOverlayKey,
  makeOverlayKey,
  makeOverlaySalt,
  OverlaySealer,
  overlaySealers,
  SEAL_BYTES,
} from "../../src/crypto/overlay-seal.ts";
import { derive, hex, join, unhex, utf8 } from "../support/noble.ts";
import { nobleXaes } from "../support/xaes.ts";

const bytes = (minLength: number, maxLength = minLength): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength });

function sealed(sealer: OverlaySealer, plain: Uint8Array, associated: Uint8Array): [Uint8Array, Uint8Array] {
  const target = new Uint8Array(plain.length);
  const seal = new Uint8Array(SEAL_BYTES);
  sealer.seal(plain, associated, { target, seal });
  return [target, seal];
}

// c2sp.org/XAES-256-GCM, "Test vectors": one key of each value of the MSB of AES(K, 0).
test.each([
  ["01", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"],
  ["03", "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"],
])("the vector of the specification for key %s opens", (byte, associated, expected) => {
  const sealer = new OverlaySealer(asOverlayKey(unhex(byte.repeat(32))));
  const ciphertext = unhex(expected).subarray(0, -16);
  const seal = join(utf8("ABCDEFGHIJKLMNOPQRSTUVWX"), unhex(expected).subarray(-16));
  const opened = sealer.open(ciphertext, utf8(associated), seal);
  expect(Buffer.from(opened ?? []).toString()).toBe("XAES-256-GCM");
});

test("noble opens what is sealed here, and the other way round", () => {
  fc.assert(
    fc.property(bytes(32), bytes(24), bytes(0, 5000), bytes(0, 40), (key, nonce, plain, associated) => {
      const sealer = new OverlaySealer(asOverlayKey(key));
      const [target, seal] = sealed(sealer, plain, associated);
      const theirs = nobleXaes(key, seal.subarray(0, 24), associated);
      expect(hex(theirs.decrypt(join(target, seal.subarray(24))))).toBe(hex(plain));
      const other = nobleXaes(key, nonce, associated).encrypt(plain);
      const opened = sealer.open(
        other.subarray(0, plain.length),
        associated,
        join(nonce, other.subarray(-16)),
      );
      expect(hex(opened!)).toBe(hex(plain));
    }),
    { numRuns: 200 },
  );
});

describe("nothing opens where one bit differs of", () => {
  const key = new Uint8Array(32).fill(7);
  const sealer = new OverlaySealer(asOverlayKey(key));
  const place = utf8("page 1");
  const [target, seal] = sealed(sealer, utf8("some bytes of a page"), place);
  const flipped = (from: Uint8Array, bit: number): Uint8Array =>
    from.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
  const bits = (of: Uint8Array): number[] => Array.from({ length: of.length * 8 }, (_, bit) => bit);

  test("the ciphertext", () => {
    for (const bit of bits(target)) expect(sealer.open(flipped(target, bit), place, seal)).toBeUndefined();
  });

  test("nonce or tag", () => {
    for (const bit of bits(seal)) expect(sealer.open(target, place, flipped(seal, bit))).toBeUndefined();
  });

  test("the place", () => {
    for (const bit of bits(place)) expect(sealer.open(target, flipped(place, bit), seal)).toBeUndefined();
  });

  test("the key", () => {
    for (const bit of bits(key)) {
      const other = new OverlaySealer(asOverlayKey(flipped(key, bit)));
      expect(other.open(target, place, seal)).toBeUndefined();
    }
  });

  test("but as it is it opens", () => {
    expect(sealer.open(target, place, seal)).toEqual(utf8("some bytes of a page"));
  });
});

test("one page sealed many times never has one nonce or ciphertext twice", () => {
  const sealer = new OverlaySealer(makeOverlayKey());
  const nonces = new Set<string>();
  const ciphertexts = new Set<string>();
  for (let count = 0; count < 1000; count++) {
    const [target, seal] = sealed(sealer, new Uint8Array(64), utf8("page"));
    nonces.add(hex(seal.subarray(0, 24)));
    ciphertexts.add(hex(target));
  }
  expect([nonces.size, ciphertexts.size]).toEqual([1000, 1000]);
});

test("a file's keys follow from key, salt and use, by HKDF", () => {
  const key = asOverlayKey(new Uint8Array(32).fill(9));
  const salt = new Uint8Array(32).fill(5);
  for (const use of ["pages", "tables"] as const) {
    const [target, seal] = sealed(overlaySealers(key, salt)[use], utf8("x"), utf8("y"));
    const fileKey = derive(key, `lambda-img overlay ${use} v1`, salt);
    const theirs = nobleXaes(fileKey, seal.subarray(0, 24), utf8("y"));
    expect(hex(theirs.decrypt(join(target, seal.subarray(24))))).toBe("78");
  }
});

test("keys and salts that are made are of 32 bytes, and new", () => {
  expect([makeOverlayKey().length, makeOverlaySalt().length]).toEqual([32, 32]);
  expect(hex(makeOverlayKey())).not.toBe(hex(makeOverlayKey()));
  expect(hex(makeOverlaySalt())).not.toBe(hex(makeOverlaySalt()));
  expect(() => asOverlayKey(new Uint8Array(31))).toThrow("32 bytes");
});
