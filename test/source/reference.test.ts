import { expect, test } from "vitest";

import { defaultImageName, parseImageReference } from "../../src/source/reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

test.each([
  ["oci:dir", { kind: "oci", path: "dir" }, "dir"],
  ["oci:/a/b.oci/", { kind: "oci", path: "/a/b.oci/" }, "b"],
  ["oci:dir:v1", { kind: "oci", path: "dir", tag: "v1" }, "dir:v1"],
  [
    "oci:dir:reg.io:5000/app:v1",
    { kind: "oci", path: "dir", tag: "reg.io:5000/app:v1" },
    "dir:reg.io:5000/app:v1",
  ],
  [`oci:dir@${digest}`, { kind: "oci", path: "dir", digest }, "dir"],
  ["oci:a@b", { kind: "oci", path: "a@b" }, "a@b"],
  ["oci:.", { kind: "oci", path: "." }, "image"],
  ["oci-archive:x/app.tar.gz", { kind: "oci-archive", path: "x/app.tar.gz" }, "app"],
  ["oci-archive:app.tar:v1", { kind: "oci-archive", path: "app.tar", tag: "v1" }, "app:v1"],
  ["oci-archive:app.oci.tar.zst", { kind: "oci-archive", path: "app.oci.tar.zst" }, "app"],
  ["docker-archive:app.tgz", { kind: "docker-archive", path: "app.tgz" }, "app"],
  ["docker-archive:all.tar:app:1.0", { kind: "docker-archive", path: "all.tar", name: "app:1.0" }, "app:1.0"],
  ["alpine", { kind: "registry", registry: "docker.io", repository: "library/alpine" }, "alpine"],
  [
    "docker.io/library/alpine:3",
    { kind: "registry", registry: "docker.io", repository: "library/alpine", tag: "3" },
    "alpine:3",
  ],
  [
    `docker://localhost:5000/a/b@${digest}`,
    { kind: "registry", registry: "localhost:5000", repository: "a/b", digest },
    "b",
  ],
  ["oci", { kind: "registry", registry: "docker.io", repository: "library/oci" }, "oci"],
  ["docker-archive:.tar", { kind: "docker-archive", path: ".tar" }, "image"],
] as const)("%s is read, and names its image", (text, expected, name) => {
  const reference = parseImageReference(text);
  expect(reference).toEqual({ ...expected, text });
  expect(defaultImageName(reference)).toBe(name);
});

test.each([
  "",
  "  ",
  "oci:",
  "oci::v1",
  "oci:dir:",
  "oci-archive:",
  "docker-archive:f:",
  "oci:a\u0000b",
  `oci:dir:v1@${digest}`,
  "oci:dir@sha256:12",
  "oci:dir@md5:12",
  "Alpine",
  "https://r.io/x",
  "docker://docker://x",
])("%j is refused", (text) => {
  expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ code: "REFERENCE_INVALID" }));
});

test.each([
  "user:secret@host/x",
  "user:secret@host:5000/x:1",
  "https://user:secret@host/x",
  "docker://user:sec/r@secret@host/x",
  `user:secret@host/x@${digest}`,
  "user:secret@host",
])("the password in %j is refused, and not shown", (text) => {
  const message = /^invalid reference "\.\.\.@host(?!.*secret).*--password-stdin$/;
  expect(() => parseImageReference(text)).toThrow(
    expect.objectContaining({ code: "REFERENCE_INVALID", message: expect.stringMatching(message) as string }),
  );
});

test.each(["docker-daemon:alpine", "containers-storage:x", "dir:/x"])(
  "%s is of a kind that is not read",
  (text) => {
    expect(() => parseImageReference(text)).toThrow(
      expect.objectContaining({
        code: "SOURCE_KIND_UNSUPPORTED",
        message: expect.stringMatching(/oci:DIR.*oci-archive:FILE.*docker-archive:FILE.*NAME/) as string,
      }),
    );
  },
);
