import { execFileSync } from "node:child_process";

import { describe, expect, test } from "vitest";

import { CompileLater } from "../../src/base/compile-later.ts";

const LATER = "--interrupt-budget=540672";
const BY_ITSELF = "--interrupt-budget=67584";

function make(v8Version: string): { compileLater: CompileLater; flags: string[] } {
  const flags: string[] = [];
  return { compileLater: new CompileLater(v8Version, (flag) => flags.push(flag)), flags };
}

describe("CompileLater", () => {
  test.each([
    ["11.3.244.8-node.33", [LATER, BY_ITSELF]],
    ["12.4.254.21-node.57", []],
    ["13.6.233.17-node.53", []],
    ["113.1.2.3", []],
  ])("V8 %s is given %j", (v8Version, expected) => {
    const { compileLater, flags } = make(v8Version);
    compileLater.begin();
    compileLater.begin();
    compileLater.end();
    compileLater.end();
    expect(flags).toEqual(expected);
  });

  test("what is set is known to this Node, and eight times what it has by itself", () => {
    const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
    const { compileLater, flags } = make(process.versions.v8);
    compileLater.begin();
    if (flags.length === 0) return; // Another V8.
    expect(options).toContain(`default: ${BY_ITSELF}\n`);
    expect(Number(LATER.split("=")[1])).toBe(8 * Number(BY_ITSELF.split("=")[1]));
  });

  test("nothing is set while a thread starts", () => {
    const { compileLater, flags } = make("11.3.1");
    const hasStarted = compileLater.threadStarts();
    compileLater.begin();
    expect(flags).toEqual([]);
    hasStarted();
    expect(flags).toEqual([LATER]);
  });

  test("it is set back while others start, until all have", () => {
    const { compileLater, flags } = make("11.3.1");
    compileLater.begin();
    const first = compileLater.threadStarts();
    const second = compileLater.threadStarts();
    expect(flags.splice(0)).toEqual([LATER, BY_ITSELF]);
    first();
    first(); // As where a thread says something, and ends later.
    expect(flags).toEqual([]);
    second();
    expect(flags).toEqual([LATER]);
  });

  test("is not set by a thread that has started after the end", () => {
    const { compileLater, flags } = make("11.3.1");
    const hasStarted = compileLater.threadStarts();
    compileLater.begin();
    compileLater.end();
    hasStarted();
    expect(flags).toEqual([]);
  });
});
