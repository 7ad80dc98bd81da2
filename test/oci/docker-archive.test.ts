import { expect, test } from "vitest";

import { parseDockerManifest, type DockerArchiveImage } from "../../src/oci/docker-archive.ts";

const parse = (document: unknown): readonly DockerArchiveImage[] =>
  parseDockerManifest(new TextEncoder().encode(JSON.stringify(document)), "manifest.json");

test("images come out with config, names and layers", () => {
  expect(parse([{ Config: "c", RepoTags: ["a:b"], Layers: ["x", "y"], LayerSources: {} }])).toEqual([
    { configPath: "c", names: ["a:b"], layerPaths: ["x", "y"] },
  ]);
  expect(parse([{ Config: "c", RepoTags: null, Layers: null }])).toEqual([
    { configPath: "c", names: [], layerPaths: [] },
  ]);
});

test.each([
  ["an object", {}, /expected an array/],
  ["no Config", [{ Layers: [] }], /\[0\]\.Config: it is missing/],
  ["a layer that is no text", [{ Config: "c", Layers: [1] }], /\[0\]\.Layers\[0\]: expected a string/],
])("%s is refused", (_name, document, words) => {
  expect(() => parse(document)).toThrow(
    expect.objectContaining({ code: "OCI_INVALID", message: expect.stringMatching(words) as string }),
  );
});
