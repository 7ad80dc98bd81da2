import { expect, test } from "vitest";

import {
  checkConfigMediaType,
  checkLayerMediaType,
  documentKindOf,
  isForeignLayer,
} from "../../src/oci/media-type.ts";

test.each([
  ["application/vnd.oci.image.index.v1+json", "index"],
  ["application/vnd.docker.distribution.manifest.list.v2+json", "index"],
  ["application/vnd.oci.image.manifest.v1+json", "manifest"],
  ["application/vnd.docker.distribution.manifest.v2+json", "manifest"],
])("%s is of an %s", (mediaType, kind) => {
  expect(documentKindOf(mediaType, "X")).toBe(kind);
});

test.each([
  ["application/vnd.docker.distribution.manifest.v1+json", /schema 1/],
  ["application/vnd.docker.distribution.manifest.v1+prettyjws", /schema 1/],
  ["application/vnd.oci.artifact.manifest.v1+json", /artifact\.manifest/],
  ["", /found ""/],
])("%j is of no document that is read", (mediaType, words) => {
  expect(() => documentKindOf(mediaType, "X")).toThrow(
    expect.objectContaining({
      code: "MEDIA_TYPE_UNSUPPORTED",
      message: expect.stringMatching(words) as string,
    }),
  );
});

test("configs are OCI's and Docker's", () => {
  checkConfigMediaType("application/vnd.oci.image.config.v1+json", "X");
  checkConfigMediaType("application/vnd.docker.container.image.v1+json", "X");
  expect(() => {
    checkConfigMediaType("application/vnd.docker.plugin.v1+json", "X");
  }).toThrow(expect.objectContaining({ code: "MEDIA_TYPE_UNSUPPORTED" }));
});

test.each([
  ["application/vnd.oci.image.layer.v1.tar", false],
  ["application/vnd.oci.image.layer.v1.tar+gzip", false],
  ["application/vnd.oci.image.layer.v1.tar+zstd", false],
  ["application/vnd.docker.image.rootfs.diff.tar", false],
  ["application/vnd.docker.image.rootfs.diff.tar.gzip", false],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar", true],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", true],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true],
])("%s is a layer; foreign: %s", (mediaType, isForeign) => {
  checkLayerMediaType(mediaType, "X");
  expect(isForeignLayer(mediaType)).toBe(isForeign);
});

test("a long media type is cut in messages", () => {
  expect(() => documentKindOf("x".repeat(100_000), "X")).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^.{1,400}$/) as string }),
  );
});
