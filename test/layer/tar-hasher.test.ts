import { describe, expect, test } from "vitest";

import { TarHasherHere, type TarHasher } from "../../src/layer/tar-hasher.ts";

describe("TarHasherHere", () => {
  // FIPS 180-4, examples of SHA-256 and SHA-512: "abc".
  test.each([
    ["sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "sha512",
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ],
  ] as const)("has done with bytes when it says so, and gives their %s", async (algorithm, hex) => {
    const hasher: TarHasher = new TarHasherHere(algorithm);
    const lent = Uint8Array.of(0x61, 0x62);
    expect(hasher.update(lent)).toBeUndefined();
    lent.fill(0x63);
    expect(hasher.update(lent.subarray(1))).toBeUndefined();
    expect(await hasher.finish()).toBe(`${algorithm}:${hex}`);
    hasher.close();
    hasher.close();
  });
});
