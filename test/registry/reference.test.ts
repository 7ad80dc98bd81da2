import { expect, test } from "vitest";

import { parseRegistryReference, showRegistryReference } from "../../src/registry/reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

test.each([
  ["alpine", "docker.io", "library/alpine", undefined, undefined],
  ["alpine:3.20", "docker.io", "library/alpine", "3.20", undefined],
  ["a", "docker.io", "library/a", undefined, undefined],
  ["a/b", "docker.io", "a/b", undefined, undefined],
  ["ghcr.io/a/b", "ghcr.io", "a/b", undefined, undefined],
  ["docker.io/alpine", "docker.io", "library/alpine", undefined, undefined],
  ["index.docker.io/alpine", "docker.io", "library/alpine", undefined, undefined],
  ["docker.io/library/alpine:latest", "docker.io", "library/alpine", "latest", undefined],
  [`ghcr.io/o/i@${digest}`, "ghcr.io", "o/i", undefined, digest],
  [`ghcr.io/o/i:v1@${digest}`, "ghcr.io", "o/i", "v1", digest],
  ["localhost/x", "localhost", "x", undefined, undefined],
  ["localhost:5000/x", "localhost:5000", "x", undefined, undefined],
  ["localhost:5000/x:y", "localhost:5000", "x", "y", undefined],
  ["x:5000", "docker.io", "library/x", "5000", undefined],
  ["127.0.0.1:5000/x", "127.0.0.1:5000", "x", undefined, undefined],
  ["[::1]:5000/x", "[::1]:5000", "x", undefined, undefined],
  ["[2001:db8::1]/x/y:z", "[2001:db8::1]", "x/y", "z", undefined],
  ["Registry.Example/x", "registry.example", "x", undefined, undefined],
  ["Uppercase/x", "uppercase", "x", undefined, undefined],
  ["xn--n3h.com/x", "xn--n3h.com", "x", undefined, undefined],
  ["a__b/c--d/e.f/g_h", "docker.io", "a__b/c--d/e.f/g_h", undefined, undefined],
  ["a---b", "docker.io", "library/a---b", undefined, undefined],
  ["oci", "docker.io", "library/oci", undefined, undefined],
  ["x:_a-b.C", "docker.io", "library/x", "_a-b.C", undefined],
  [`x:${"t".repeat(128)}`, "docker.io", "library/x", "t".repeat(128), undefined],
  [`r.io/${"a".repeat(255)}`, "r.io", "a".repeat(255), undefined, undefined],
  [`r.io/${"ab".repeat(32)}`, "r.io", "ab".repeat(32), undefined, undefined],
] as const)("%s is read", (...row) => {
  const [text, registry, repository, tag, found] = row;
  expect(parseRegistryReference(text)).toEqual({
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(found === undefined ? {} : { digest: found }),
  });
});

test.each([
  "",
  ":",
  "/",
  "x:",
  "x@",
  ":tag",
  "Alpine",
  "alpine:tag:tag",
  "r.io/",
  "r.io//x",
  "r.io/x/",
  "r.io/-x",
  "r.io/x-",
  "r.io/x..y",
  "r.io/x___y",
  "r.io/x.-y",
  "r.io/X",
  "r.io/x y",
  "r.io/../x",
  "-r.io/x",
  "r.io-/x",
  "r..io/x",
  "r_.io/x",
  "r.io:/x",
  "r.io:0/x",
  "r.io:65536/x",
  "r.io:x/x",
  "user@r.io/x",
  "[::1/x",
  "[::1]x/x",
  "[::g]/x",
  "::1/x",
  "300.1.1.1/x",
  "https://r.io/x",
  "x:.a",
  "x:-a",
  `x:${"t".repeat(129)}`,
  `r.io/${"a".repeat(256)}`,
  `${"a.".repeat(200)}io/x`,
  "ab".repeat(32),
  "x@sha256:12",
  `x@md5:${"ab".repeat(16)}`,
  `x@${digest.toUpperCase()}`,
  "x\ny",
  "x\u0000",
])("%j is refused", (text) => {
  expect(() => parseRegistryReference(text)).toThrow(expect.objectContaining({ code: "REFERENCE_INVALID" }));
});

test("a refusal shows the parts as they were read", () => {
  expect(() => parseRegistryReference("ghcr.io/Owner/image:v1")).toThrow(
    'invalid reference "ghcr.io/Owner/image:v1": a repository has no upper-case letters (registry "ghcr.io", repository "Owner/image", tag "v1")',
  );
});

test("what a host and what a long name could do to a pattern takes no time", () => {
  const start = performance.now();
  for (const text of [
    `${"a-".repeat(50_000)}.io/x`,
    `r.io/${"a".repeat(100_000)}!`,
    `r.io/${"a-".repeat(50_000)}`,
  ]) {
    expect(() => parseRegistryReference(text)).toThrow(
      expect.objectContaining({ code: "REFERENCE_INVALID" }),
    );
  }
  expect(performance.now() - start).toBeLessThan(2000);
});

test("shows its parts; the digest goes before the tag", () => {
  expect(showRegistryReference(parseRegistryReference("alpine"))).toBe(
    "registry docker.io, repository library/alpine, tag latest",
  );
  expect(showRegistryReference(parseRegistryReference(`r.io/x:v1@${digest}`))).toBe(
    `registry r.io, repository x, digest ${digest}`,
  );
});
