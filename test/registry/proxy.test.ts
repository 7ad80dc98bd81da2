import { expect, test } from "vitest";

import { proxyFor } from "../../src/registry/_proxy.ts";

const isProxied = (url: string, list: string): boolean =>
  proxyFor(new URL(url), {
    http_proxy: "http://proxy:3128",
    https_proxy: "http://proxy:3128",
    no_proxy: list,
  }) !== undefined;

test.each([
  ["https://registry.test/", "", true],
  ["https://registry.test/", "*", false],
  ["https://registry.test/", "registry.test", false],
  ["https://a.registry.test/", "registry.test", false],
  ["https://aregistry.test/", "registry.test", true],
  ["https://registry.test/", ".registry.test", true],
  ["https://a.registry.test/", ".registry.test", false],
  ["https://a.registry.test/", "*.registry.test", false],
  ["https://registry.test/", " other , REGISTRY.test ", false],
  ["https://registry.test/", "registry.test:443", false],
  ["https://registry.test:444/", "registry.test:443", true],
  ["http://registry.test/", "registry.test:80", false],
  ["https://198.51.100.7/", "198.51.100.7", false],
  ["https://198.51.100.7/", "100.7", true],
  ["https://198.51.100.7/", "198.51.100.0/24", false],
  ["https://198.51.101.7/", "198.51.100.0/24", true],
  ["https://198.51.100.7/", "198.51.100.0/33", true],
  ["https://[2001:db8::7]/", "2001:db8::/32", false],
  ["https://[2001:db8::7]/", "[2001:db8::7]", false],
  ["https://[2001:db8::7]/", "198.51.100.0/24", true],
  ["https://localhost/", "", false],
  ["https://127.8.9.1/", "", false],
  ["https://[::1]:5000/", "", false],
])("%s with NO_PROXY=%j", (url, list, expected) => {
  expect(isProxied(url, list)).toBe(expected);
});

test("variables in lower case go first, and each scheme has its own", () => {
  const variables = { HTTP_PROXY: "http://a", http_proxy: "b:1", HTTPS_PROXY: "https://c" };
  expect(proxyFor(new URL("http://r.test/"), variables)?.href).toBe("http://b:1/");
  expect(proxyFor(new URL("https://r.test/"), variables)?.href).toBe("https://c/");
  expect(proxyFor(new URL("https://r.test/"), { HTTP_PROXY: "http://a" })).toBeUndefined();
});
