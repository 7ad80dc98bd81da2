import { describe, expect, test } from "vitest";

import type { ErrorCode } from "../../src/base/error.ts";
import { parseImageDocument, type ImageDocument } from "../../src/oci/image-document.ts";

const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const digest = `sha256:${"ab".repeat(32)}`;
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 3 };
const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
const entry = { mediaType: OCI_MANIFEST, digest, size: 4, platform: { os: "linux", architecture: "amd64" } };
const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] };

function parse(document: unknown, mediaType?: string): ImageDocument {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  return parseImageDocument(new TextEncoder().encode(text), { where: "image manifest X", mediaType });
}

function without(document: object, name: string): object {
  return Object.fromEntries(Object.entries(document).filter(([each]) => each !== name));
}

describe("the kind of a document", () => {
  test.each([
    ["its mediaType", manifest, undefined, "manifest"],
    ["its mediaType, equal to its descriptor's", manifest, OCI_MANIFEST, "manifest"],
    ["its descriptor's media type", without(manifest, "mediaType"), OCI_MANIFEST, "manifest"],
    ["its members", without(manifest, "mediaType"), undefined, "manifest"],
    ["its mediaType", index, undefined, "index"],
    ["its descriptor's media type", without(index, "mediaType"), OCI_INDEX, "index"],
    ["its members", without(index, "mediaType"), undefined, "index"],
    ["Docker's names", { ...manifest, mediaType: DOCKER_MANIFEST }, DOCKER_MANIFEST, "manifest"],
    ["Docker's names", { ...index, mediaType: DOCKER_LIST }, DOCKER_LIST, "index"],
    ["one of two names for one kind", manifest, DOCKER_MANIFEST, "manifest"],
    ["its members where mediaType is null", { ...index, mediaType: null }, undefined, "index"],
  ] as const)("is known by %s", (_how, document, mediaType, kind) => {
    expect(parse(document, mediaType).kind).toBe(kind);
  });

  test.each([
    ["both members", { ...manifest, manifests: [entry] }, undefined],
    ["both members, no mediaType", { ...without(manifest, "mediaType"), manifests: [] }, OCI_INDEX],
    ["an index with layers", { ...index, layers: [] }, undefined],
    ["a manifest called index", { ...manifest, mediaType: OCI_INDEX }, undefined],
    ["an index called manifest", { ...index, mediaType: OCI_MANIFEST }, undefined],
    ["descriptor and document disagree", manifest, OCI_INDEX],
    ["members and descriptor disagree", without(index, "mediaType"), OCI_MANIFEST],
  ] as const)("is refused where it is ambiguous (CVE-2021-41190): %s", (_how, document, mediaType) => {
    expect(() => parse(document, mediaType)).toThrow(
      expect.objectContaining({
        code: "OCI_INVALID",
        message: expect.stringContaining("ambiguous") as string,
      }),
    );
  });
});

test("a manifest's descriptors come out typed", () => {
  const found = parse({ ...manifest, annotations: { a: "b" }, subject: entry });
  expect(found).toMatchObject({
    kind: "manifest",
    manifest: { config: { digest, sizeBytes: 2 }, layers: [{ digest, sizeBytes: 3 }] },
  });
});

test("null stands for what is empty", () => {
  expect(parse({ ...manifest, layers: null })).toMatchObject({ manifest: { layers: [] } });
  expect(parse({ ...index, manifests: null })).toMatchObject({ index: { manifests: [] } });
  const bare = { ...entry, platform: null, annotations: null, urls: null };
  expect(parse({ ...index, manifests: [bare] })).toMatchObject({
    index: { manifests: [{ platform: undefined }] },
  });
});

const refused: readonly (readonly [string, unknown, ErrorCode, RegExp])[] = [
  ["no JSON", "{", "OCI_INVALID", /not a JSON document: it cannot be parsed/],
  ["nothing", "", "OCI_INVALID", /not a JSON document/],
  ["a byte order mark", `\ufeff${JSON.stringify(manifest)}`, "OCI_INVALID", /not a JSON document/],
  ["JSON twice", `${JSON.stringify(manifest)}{}`, "OCI_INVALID", /not a JSON document/],
  ["an array", [], "OCI_INVALID", /expected an object, found an array/],
  ["null", "null", "OCI_INVALID", /expected an object, found null/],
  [
    "a member twice",
    '{"schemaVersion":2,"layers":[],"x":{"a":1,"b":{},"\\u0061":2}}',
    "OCI_INVALID",
    /"a" stands twice/,
  ],
  ["no schemaVersion", without(manifest, "schemaVersion"), "OCI_INVALID", /schemaVersion: it is missing/],
  [
    "a schemaVersion of text",
    { ...manifest, schemaVersion: "2" },
    "OCI_INVALID",
    /schemaVersion: expected a whole number/,
  ],
  ["schemaVersion 3", { ...manifest, schemaVersion: 3 }, "OCI_INVALID", /expected 2, found 3/],
  ["schema 1", { schemaVersion: 1, fsLayers: [], history: [] }, "MEDIA_TYPE_UNSUPPORTED", /schema 1/],
  [
    "a media type of schema 1",
    { ...manifest, mediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws" },
    "MEDIA_TYPE_UNSUPPORTED",
    /schema 1/,
  ],
  [
    "an unknown media type",
    { ...manifest, mediaType: "application/x" },
    "MEDIA_TYPE_UNSUPPORTED",
    /"application\/x"/,
  ],
  ["neither kind", { schemaVersion: 2 }, "OCI_INVALID", /neither an image index nor/],
  [
    "members of Object.prototype only",
    '{"schemaVersion":2,"__proto__":{"layers":[]}}',
    "OCI_INVALID",
    /neither/,
  ],
  ["no config", without(manifest, "config"), "OCI_INVALID", /config: it is missing/],
  [
    "an artifact",
    {
      ...manifest,
      config: { ...config, mediaType: "application/vnd.oci.empty.v1+json" },
      layers: [{ ...layer, mediaType: "text/plain" }],
    },
    "MEDIA_TYPE_UNSUPPORTED",
    /artifact, not an image/,
  ],
  [
    "a layer of unknown media type",
    { ...manifest, layers: [layer, { ...layer, mediaType: "text/x" }] },
    "MEDIA_TYPE_UNSUPPORTED",
    /layers\[1\].*"text\/x"/,
  ],
  [
    "an encrypted layer",
    { ...manifest, layers: [{ ...layer, mediaType: `${layer.mediaType}+encrypted` }] },
    "MEDIA_TYPE_UNSUPPORTED",
    /encrypted layers cannot be read/,
  ],
  [
    "a digest that is a path",
    { ...manifest, layers: [{ ...layer, digest: "sha256:../../etc/passwd" }] },
    "OCI_INVALID",
    /layers\[0\]\.digest: invalid digest/,
  ],
  [
    "a digest in capitals",
    { ...manifest, config: { ...config, digest: `sha256:${"AB".repeat(32)}` } },
    "OCI_INVALID",
    /config\.digest/,
  ],
  [
    "a digest of no text",
    { ...manifest, config: { ...config, digest: 7 } },
    "OCI_INVALID",
    /config\.digest.*number/,
  ],
  [
    "an unknown algorithm",
    { ...manifest, config: { ...config, digest: "md5:abcd" } },
    "DIGEST_UNSUPPORTED",
    /md5/,
  ],
  ["a negative size", { ...manifest, config: { ...config, size: -1 } }, "OCI_INVALID", /config\.size.*-1/],
  ["a broken size", { ...manifest, config: { ...config, size: 1.5 } }, "OCI_INVALID", /config\.size.*1\.5/],
  ["a size above 2^53", { ...manifest, config: { ...config, size: 2 ** 60 } }, "OCI_INVALID", /config\.size/],
  ["no size", { ...manifest, config: without(config, "size") }, "OCI_INVALID", /config\.size: it is missing/],
  [
    "layers that are an object",
    { ...manifest, layers: {} },
    "OCI_INVALID",
    /layers: expected an array, found an object/,
  ],
  [
    "a layer that is null",
    { ...manifest, layers: [null] },
    "OCI_INVALID",
    /layers\[0\]: expected an object, found null/,
  ],
  [
    "a platform without architecture",
    { ...index, manifests: [{ ...entry, platform: { os: "linux" } }] },
    "OCI_INVALID",
    /manifests\[0\]\.platform\.architecture: it is missing/,
  ],
  [
    "an annotation that is a number",
    { ...index, manifests: [{ ...entry, annotations: { a: 1 } }] },
    "OCI_INVALID",
    /annotations\["a"\]: expected a string, found 1/,
  ],
];

test.each(refused)("%s is refused", (_name, document, code, words) => {
  expect(() => parse(document)).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(words) as string }),
  );
});

test("bytes that are no UTF-8 are refused", () => {
  const bytes = Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d);
  expect(() => parseImageDocument(bytes, { where: "X" })).toThrow(
    expect.objectContaining({ code: "OCI_INVALID", message: "X: not a JSON document: it is not UTF-8" }),
  );
});

test("a document nested very deep does no harm", () => {
  const deep = `{"schemaVersion":2,"x":${"[".repeat(500_000)}${"]".repeat(500_000)},"manifests":[]}`;
  expect(parse(deep).kind).toBe("index");
});
