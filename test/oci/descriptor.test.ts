import { expect, test } from "vitest";

import { parseDocument } from "../../src/oci/_json.ts";
import { isAttestation, parseDescriptor, type Descriptor } from "../../src/oci/descriptor.ts";

const right = { mediaType: "application/x", digest: `sha256:${"ab".repeat(32)}`, size: 4 };

function parse(document: unknown): Descriptor {
  return parseDescriptor(parseDocument(new TextEncoder().encode(JSON.stringify(document)), "X"));
}

test("media type, digest, size, platform and annotations come out", () => {
  const found = parse({
    ...right,
    platform: { os: "linux", architecture: "arm" },
    annotations: { a: "b", c: null },
  });
  expect(found).toEqual({
    mediaType: "application/x",
    digest: right.digest,
    sizeBytes: 4,
    platform: { os: "linux", architecture: "arm", variant: "v7" },
    annotations: new Map([
      ["a", "b"],
      ["c", ""],
    ]),
  });
});

test("sha512 is a digest too", () => {
  const digest = `sha512:${"ab".repeat(64)}`;
  expect(parse({ ...right, digest }).digest).toBe(digest);
});

test("attestations are known by platform or annotation", () => {
  const unknown = { os: "unknown", architecture: "unknown" };
  expect(isAttestation(parse(right))).toBe(false);
  expect(isAttestation(parse({ ...right, platform: unknown }))).toBe(true);
  const annotations = { "vnd.docker.reference.type": "attestation-manifest" };
  expect(isAttestation(parse({ ...right, annotations }))).toBe(true);
});
