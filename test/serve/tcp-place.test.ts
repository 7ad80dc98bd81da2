import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { isLoopback, parseTcpPlace, showTcpPlace } from "../../src/serve/tcp-place.ts";

test.each([
  ["127.0.0.1:10809", "127.0.0.1", 10_809],
  ["localhost:0", "localhost", 0],
  ["0.0.0.0:65535", "0.0.0.0", 65_535],
  ["[::1]:1", "::1", 1],
  ["[fe80::1:2]:80", "fe80::1:2", 80],
])("%s is read, and shown as it was", (text, host, port) => {
  expect(parseTcpPlace(text, "--listen")).toEqual({ host, port });
  expect(showTcpPlace({ host, port })).toBe(text);
});

test.each([
  "",
  ":1",
  "host",
  "host:",
  "host:x",
  "host:65536",
  "host:-1",
  "::1:80",
  "[host]:1",
  "[::1]",
  "a b:1",
  "a/b:1",
])("%j is refused", (text) => {
  expect(() => parseTcpPlace(text, "--listen")).toThrow(
    expect.toSatisfy((error) => isLambdaImgError(error, "USAGE_INVALID")),
  );
});

test.each([
  ["127.0.0.1", true],
  ["127.255.0.9", true],
  ["::1", true],
  ["localhost", true],
  ["LOCALHOST", true],
  ["0.0.0.0", false],
  ["::", false],
  ["::ffff:1.2.3.4", false],
  ["128.0.0.1", false],
  ["localhost.example.com", false],
])("whether %s is of this machine alone: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
