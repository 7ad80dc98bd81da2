import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { isGeneratedPath, isStatePath } from "../../src/tree/path-class.ts";

describe("a path alone says whether its file is", () => {
  test.each([
    // path, a state file, a generated file
    ["var/log/dpkg.log", true, true],
    ["var/lib/dpkg/status", true, true],
    ["var/lib/dpkg/info/bash.list", false, true],
    ["./var/lib/dpkg/status", true, true],
    ["/var//lib/./dpkg/status", true, true],
    ["././/var/x/", true, true],
    ["var", true, true],
    ["var/", true, true],
    ["var/a/../b", true, true],
    ["var/a/../b/c", false, true],
    ["variable", false, false],
    ["var.d/x", false, false],
    [".var/x", false, false],
    ["../var/x", false, false],
    ["usr/var/x", false, false],
    ["etc/passwd", false, true],
    ["./etc/a/b/c/d/e", false, true],
    ["etc", false, true],
    ["etcetera/x", false, false],
    ["opt/etc/x", false, false],
    ["usr/lib/__pycache__/a.pyc", false, true],
    ["__pycache__", false, true],
    ["a/__pycache__/", false, true],
    ["a/__pycache__x/b", false, false],
    ["a/x__pycache__", false, false],
    ["package-lock.json", true, false],
    ["./srv/node_modules/.package-lock.json", true, false],
    ["a/b/c/d/e/pnpm-lock.yaml", true, false],
    ["app/Cargo.lock", true, false],
    ["yarn.lock/", true, false],
    ["x.lock/.", true, false],
    ["x.lock//./", true, false],
    ["etc/apt/.lock", true, true],
    [".lock", true, false],
    ["-lock.json", true, false],
    ["..lock", true, false],
    ["lock", false, false],
    ["block", false, false],
    ["lock.json", false, false],
    ["block.yaml", false, false],
    ["a.lock/b", false, false],
    ["a.lock/..", false, false],
    ["package-lock.json/x", false, false],
    ["flock.js", false, false],
    ["x.lock.js", false, false],
    ["package-lock.jsonx", false, false],
    ["package-lock.yml", false, false],
    ["package_lock.json", false, false],
    ["a-lock", false, false],
    ["X.LOCK", false, false],
    ["usr/lib/__pycache__/x.lock", true, true],
    ["", false, false],
    ["./", false, false],
    [".", false, false],
  ])("%j: state %s, generated %s", (path, isState, isGenerated) => {
    const bytes = asByteString(path);
    expect([isStatePath(bytes), isGeneratedPath(bytes)]).toEqual([isState, isGenerated]);
  });

  test("however long it is", () => {
    const slashes = "/".repeat(5_000_000);
    expect(isStatePath(asByteString(`${slashes}var`))).toBe(true);
    expect(isStatePath(asByteString(`lock${slashes}x.lock${slashes}`))).toBe(true);
    expect(isGeneratedPath(asByteString(`${slashes}usr`))).toBe(false);
  });
});
