import { execFileSync } from "node:child_process";

import { describe, expect, test } from "vitest";

import { compileLater } from "../../src/cli/compile-later.ts";

function flagsOf(v8Version: string): string[] {
  const flags: string[] = [];
  compileLater(v8Version, (flag) => flags.push(flag));
  return flags;
}

describe("compileLater", () => {
  test.each([
    ["11.3.244.8-node.33", ["--interrupt-budget=540672"]],
    ["12.4.254.21-node.57", []],
    ["13.6.233.17-node.53", []],
    ["113.1.2.3", []],
  ])("V8 %s is given %j", (v8Version, flags) => {
    expect(flagsOf(v8Version)).toEqual(flags);
  });

  const [flag] = flagsOf(process.versions.v8);

  test.skipIf(flag === undefined)(
    "what is set is known to this Node, and eight times what it has by itself",
    () => {
      const [name, value] = flag?.split("=") ?? [];
      const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
      expect(options).toContain(`default: ${name}=${Number(value) / 8}\n`);
    },
  );
});
