import { describe, expect, test } from "vitest";

import { asByteString, fromByteString, toHex } from "../../src/base/bytes.ts";
import {
  asDiffId,
  digestAlgorithm,
  DigestBuilder,
  digestHex,
  parseDigest,
  sha256,
  sha256Digest,
  sha256OfByteString,
  sha256Source,
} from "../../src/base/digest.ts";

// FIPS 180-4 example: the SHA-256 of "abc".
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const abc = new TextEncoder().encode("abc");
const S512 = `sha512:${"0f".repeat(64)}`;

describe("parseDigest", () => {
  test.each([`sha256:${ABC}`, S512])("takes %s", (text) => {
    expect(parseDigest(text, "layer")).toBe(text);
  });

  test.each<[unknown, string]>([
    ["", "OCI_INVALID"],
    [undefined, "OCI_INVALID"],
    [7, "OCI_INVALID"],
    [null, "OCI_INVALID"],
    [ABC, "OCI_INVALID"],
    ["sha256:", "OCI_INVALID"],
    [`sha256:${ABC.slice(1)}`, "OCI_INVALID"],
    [`sha256:${ABC}0`, "OCI_INVALID"],
    [`sha256:${ABC.toUpperCase()}`, "OCI_INVALID"],
    [`SHA256:${ABC}`, "OCI_INVALID"],
    [`sha256:${ABC}\n`, "OCI_INVALID"],
    [` sha256:${ABC}`, "OCI_INVALID"],
    [`sha256:../../${ABC}`, "OCI_INVALID"],
    [`sha512:${ABC}`, "OCI_INVALID"],
    [`md5:${ABC}`, "DIGEST_UNSUPPORTED"],
    [`sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564`, "DIGEST_UNSUPPORTED"],
    ["__proto__:a", "OCI_INVALID"],
    ["constructor:a", "DIGEST_UNSUPPORTED"],
  ])("refuses %j with %s", (text, code) => {
    expect(() => parseDigest(text, "layer 3")).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(/^layer 3: /) as string }),
    );
  });

  test("quotes no more of the text than is useful", () => {
    expect(() => parseDigest("\x1b".repeat(1e6), "x")).toThrow(/^.{1,800}$/);
  });
});

test("a digest's parts", () => {
  const digest = parseDigest(`sha256:${ABC}`, "x");
  expect(digestAlgorithm(digest)).toBe("sha256");
  expect(digestAlgorithm(parseDigest(S512, "x"))).toBe("sha512");
  expect(digestHex(digest)).toBe(ABC);
  expect(asDiffId(digest)).toBe(digest);
});

test("digests of bytes, whole and in pieces", () => {
  expect(sha256Digest(abc)).toBe(`sha256:${ABC}`);
  expect(Buffer.from(sha256(abc)).toString("hex")).toBe(ABC);
  expect(Buffer.from(sha256OfByteString(asByteString("abc")), "latin1").toString("hex")).toBe(ABC);
  const latin1 = asByteString(String.fromCharCode(...Array(256).keys()));
  expect(toHex(fromByteString(sha256OfByteString(latin1)))).toBe(toHex(sha256(fromByteString(latin1))));
  const builder = new DigestBuilder();
  const piece = Uint8Array.from(abc.subarray(0, 1));
  builder.update(piece);
  piece.fill(0);
  builder.update(abc.subarray(1));
  expect(builder.finish()).toBe(`sha256:${ABC}`);
  expect(new DigestBuilder("sha512").finish()).toMatch(/^sha512:cf83e1357eefb8bd/);
});

test.each([
  // The example of CSP Level 2 and 3.
  ["alert('Hello, world.');", "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="],
  // By openssl, of the bytes c2 b5 73.
  ["µs", "sha256-uo2pyrmXMhAIbdfp3p/I4500VHDXan9mfmXBmNWl8GM="],
])("a policy names %j %s", (text, source) => {
  expect(sha256Source(text)).toBe(source);
});
