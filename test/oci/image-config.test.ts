import { describe, expect, test } from "vitest";

import type { ErrorCode } from "../../src/base/error.ts";
import { checkLayerCount, parseImageConfig, type ImageConfig } from "../../src/oci/image-config.ts";

const diffId = `sha256:${"cd".repeat(32)}`;
const plain = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [diffId] } };

function parse(document: unknown): ImageConfig {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  return parseImageConfig(new TextEncoder().encode(text), "image config X");
}

const empty = {
  user: "",
  workingDir: "",
  env: [],
  entrypoint: [],
  cmd: [],
  exposedPorts: [],
  volumes: [],
  stopSignal: "",
  labels: [],
};

describe("fields that are not there are empty", () => {
  const nothing = Object.fromEntries(
    ["User", "WorkingDir", "Env", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Labels"].map(
      (name) => [name, null],
    ),
  );
  test.each([
    ["no config", plain],
    ["config null", { ...plain, config: null }],
    ["an empty config", { ...plain, config: {} }],
    ["fields null", { ...plain, config: nothing }],
  ])("%s", (_name, document) => {
    expect(parse(document)).toEqual({
      platform: { os: "linux", architecture: "amd64" },
      run: empty,
      diffIds: [diffId],
    });
  });
});

test("every field comes out", () => {
  const config = {
    User: "1000:1000",
    WorkingDir: "/srv",
    Env: ["A=1", "E=", "EQ=a=b", "U=\u00e9"],
    Entrypoint: ["/run", ""],
    Cmd: ["x y"],
    ExposedPorts: { "8080/tcp": {}, "53/udp": {} },
    Volumes: { "/v": {}, "/a": {} },
    StopSignal: "SIGINT",
    Labels: { b: "2", a: "1", "10": "ten", "9": "nine", __proto__x: "p" },
    Healthcheck: { Test: ["NONE"] },
  };
  const text = JSON.stringify({ ...plain, config }).replace("__proto__x", "__proto__");
  expect(parse(text).run).toEqual({
    user: "1000:1000",
    workingDir: "/srv",
    env: config.Env,
    entrypoint: config.Entrypoint,
    cmd: config.Cmd,
    exposedPorts: ["53/udp", "8080/tcp"],
    volumes: ["/a", "/v"],
    stopSignal: "SIGINT",
    labels: [
      ["10", "ten"],
      ["9", "nine"],
      ["__proto__", "p"],
      ["a", "1"],
      ["b", "2"],
    ],
  });
});

test("labels are in byte order of UTF-8, which is not that of UTF-16", () => {
  const { labels } = parse({ ...plain, config: { Labels: { "\u{10000}": "", "\uff5e": "" } } }).run;
  expect(labels.map(([name]) => name)).toEqual(["\uff5e", "\u{10000}"]);
});

test("half of a surrogate pair becomes U+FFFD, as in Go", () => {
  expect(parse({ ...plain, config: { User: "a\ud83db\u{1f600}" } }).run.user).toBe("a\ufffdb\u{1f600}");
});

test("the variant belongs to the platform, in its normal form", () => {
  expect(parse({ ...plain, architecture: "arm64", variant: "v8" }).platform).toEqual({
    os: "linux",
    architecture: "arm64",
  });
  expect(parse({ ...plain, architecture: "arm", variant: "v6" }).platform.variant).toBe("v6");
});

const refused: readonly (readonly [string, unknown, ErrorCode, RegExp])[] = [
  ["windows", { ...plain, os: "windows" }, "PLATFORM_UNSUPPORTED", /windows/],
  ["no os", { ...plain, os: null }, "OCI_INVALID", /os: it is missing/],
  ["no architecture", { ...plain, architecture: null }, "OCI_INVALID", /architecture: it is missing/],
  ["no rootfs", { ...plain, rootfs: null }, "OCI_INVALID", /rootfs: it is missing/],
  [
    "another rootfs.type",
    { ...plain, rootfs: { type: "layers+base" } },
    "OCI_INVALID",
    /rootfs\.type: expected "layers"/,
  ],
  ["no rootfs.type", { ...plain, rootfs: { diff_ids: [] } }, "OCI_INVALID", /rootfs\.type: it is missing/],
  [
    "a diff ID of another form",
    { ...plain, rootfs: { type: "layers", diff_ids: ["x"] } },
    "OCI_INVALID",
    /diff_ids\[0\]/,
  ],
  [
    "Env of text",
    { ...plain, config: { Env: "A=1" } },
    "OCI_INVALID",
    /config\.Env: expected an array, found "A=1"/,
  ],
  [
    "Env with a number",
    { ...plain, config: { Env: ["A=1", 2] } },
    "OCI_INVALID",
    /config\.Env\[1\]: expected a string/,
  ],
  [
    "Labels as an array",
    { ...plain, config: { Labels: [] } },
    "OCI_INVALID",
    /config\.Labels: expected an object/,
  ],
  ["User as a number", { ...plain, config: { User: 0 } }, "OCI_INVALID", /config\.User/],
];

test.each(refused)("%s is refused", (_name, document, code, words) => {
  expect(() => parse(document)).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(words) as string }),
  );
});

test("numbers of layers that differ are refused with both numbers", () => {
  const config = parse(plain);
  checkLayerCount(config, 1, "X");
  expect(() => {
    checkLayerCount(config, 3, "X");
  }).toThrow(
    expect.objectContaining({
      code: "OCI_INVALID",
      message: expect.stringMatching(/3 layers.*1 diff_ids/) as string,
    }),
  );
});
