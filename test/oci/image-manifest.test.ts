import { expect, test } from "vitest";

import { LAYER_COUNT_MAX } from "../../src/base/limit.ts";
import { parseDocument } from "../../src/oci/_json.ts";
import { parseImageManifest, type ImageManifest } from "../../src/oci/image-manifest.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 3 };

function parse(document: unknown): ImageManifest {
  return parseImageManifest(
    parseDocument(new TextEncoder().encode(JSON.stringify(document)), "image manifest X"),
  );
}

test("layers are limited in number", () => {
  const layers = Array.from({ length: LAYER_COUNT_MAX }, () => layer);
  expect(parse({ config, layers }).layers).toHaveLength(LAYER_COUNT_MAX);
  expect(() => parse({ config, layers: [...layers, layer] })).toThrow(
    expect.objectContaining({ code: "DOCUMENT_TOO_LARGE" }),
  );
});

test("the config is judged before the layers: an artifact's are no layers", () => {
  const artifact = { ...config, mediaType: "application/vnd.oci.empty.v1+json" };
  expect(() => parse({ config: artifact, layers: [{ ...layer, mediaType: "text/plain" }] })).toThrow(
    expect.objectContaining({ message: expect.stringContaining("artifact, not an image") as string }),
  );
});
