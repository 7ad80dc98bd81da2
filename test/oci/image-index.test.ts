import { expect, test } from "vitest";

import { parseDocument } from "../../src/oci/_json.ts";
import { parseImageIndex, type ImageIndex } from "../../src/oci/image-index.ts";

const entry = { mediaType: "application/x", digest: `sha256:${"ab".repeat(32)}`, size: 4 };

function parse(document: unknown): ImageIndex {
  return parseImageIndex(parseDocument(new TextEncoder().encode(JSON.stringify(document)), "image index X"));
}

test("entries come out in order, of whatever media type: those not taken need not be known", () => {
  const platform = { os: "linux", architecture: "x86_64" };
  const { manifests } = parse({ manifests: [entry, { ...entry, size: 5, platform }] });
  expect(manifests.map(({ sizeBytes }) => sizeBytes)).toEqual([4, 5]);
  expect(manifests[1]?.platform).toEqual({ os: "linux", architecture: "amd64" });
});

test("an entry that is no descriptor is refused with its place", () => {
  expect(() => parse({ manifests: [entry, 7] })).toThrow(
    expect.objectContaining({ message: "image index X: manifests[1]: expected an object, found 7" }),
  );
});
