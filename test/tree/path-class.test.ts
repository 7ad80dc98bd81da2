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
    expect(isGeneratedPath(asByteString(`${slashes}usr`))).toBe(false);
  });
});
