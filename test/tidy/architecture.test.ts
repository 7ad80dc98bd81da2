/** The rules of docs/architecture.md: storeys, privacy, cycles, barrels, keys, and what touches the world. */
import { describe, expect, test } from "vitest";

import { checkBarrels } from "./_checks/barrels.ts";
import { checkCycles } from "./_checks/cycles.ts";
import { checkEffects } from "./_checks/effects.ts";
import { checkPrivacy } from "./_checks/privacy.ts";
import { listFiles, readTexts } from "./_checks/repository.ts";
import { parseSource, parseSources, type SourceFile } from "./_checks/source.ts";
import { checkKeyHolders, checkStoreys, checkTable } from "./_checks/storeys.ts";
import { KEY_HOLDERS, STOREYS } from "./storeys.ts";

const TREE = parseSources(readTexts(listFiles()));

function parse(files: Record<string, string>): SourceFile[] {
  return Object.entries(files).map(([path, text]) => parseSource(path, text));
}

test("the repository is found, and has sources", () => {
  expect(TREE.some((file) => file.path === "src/base/error.ts")).toBe(true);
});

describe("storeys", () => {
  test.each([
    ['import { a } from "../tree/a.ts";', "src/tar/x.ts"],
    ['import type { A } from "../tree/a.ts";', "src/tar/x.ts"],
    ['export { a } from "../tree/a.ts";', "src/tar/x.ts"],
    ['const a = await import("../tree/a.ts");', "src/tar/x.ts"],
    ['let a: import("../tree/a.ts").A;', "src/tar/x.ts"],
    ['import { a } from "../source/a.ts";', "src/layer/x.ts"],
    ['import { a } from "../index.ts";', "src/cli/x.ts"],
    ['import { a } from "../cli/main.ts";', "src/convert/x.ts"],
    ['import { a } from "../../test/support/a.ts";', "src/base/x.ts"],
    ["export const a = 1;", "src/stray.ts"],
    ["export const a = 1;", "src/nowhere/x.ts"],
  ])("refuses %s in %s", (text, path) => {
    expect(checkStoreys(parse({ [path]: text }), STOREYS)).toHaveLength(1);
  });

  test("takes what the table allows, and types where it allows types", () => {
    const files = parse({
      "src/tree/x.ts":
        'import { a } from "../base/a.ts"; import { b } from "./b.ts"; import path from "node:path";',
      "src/layer/x.ts": 'import type { A } from "../source/a.ts"; import { type B } from "../source/b.ts";',
      "src/index.ts": 'export { a } from "./convert/a.ts";',
      "test/tree/x.test.ts": 'import { a } from "../../src/cli/a.ts";',
    });
    expect(checkStoreys(files, STOREYS)).toEqual([]);
  });

  test("refuses a table that does not hold together", () => {
    const bad = {
      low: { storey: 0, imports: ["high"] },
      high: { storey: 1, imports: ["gone"] },
      left: { storey: 1, imports: ["right"] },
      right: { storey: 1, imports: ["left"] },
    };
    expect(checkTable(bad)).toHaveLength(4);
    expect(checkTable(STOREYS)).toEqual([]);
  });

  test("hold in src/", () => {
    expect(checkStoreys(TREE, STOREYS)).toEqual([]);
  });
});

describe("keys", () => {
  test("are refused to a folder that is no holder, types included", () => {
    const files = parse({
      "src/store/x.ts": 'import type { Key } from "../crypto/key.ts";',
      "src/device/x.ts": 'import { key } from "../crypto/key.ts";',
    });
    expect(checkKeyHolders(files, KEY_HOLDERS)).toHaveLength(1);
  });

  test("stay behind their door in src/ and in the table", () => {
    expect(checkKeyHolders(TREE, KEY_HOLDERS)).toEqual([]);
    const importers = Object.entries(STOREYS).filter(([, storey]) => storey.imports.includes("crypto"));
    expect(new Set(importers.map(([folder]) => folder))).toEqual(new Set(KEY_HOLDERS));
  });
});

describe("private files", () => {
  test("are refused to other folders", () => {
    const files = parse({
      "src/tree/x.ts": 'import { a } from "../tar/_a.ts";',
      "test/tree/x.test.ts":
        'import { a } from "../../src/tar/_a.ts"; import { b } from "../tidy/_checks/b.ts";',
      "src/tar/x.ts": 'import { a } from "./_a.ts";',
      "test/tar/x.test.ts": 'import { a } from "../../src/tar/_a.ts";',
    });
    expect(checkPrivacy(files)).toHaveLength(3);
  });

  test("are private in the tree", () => {
    expect(checkPrivacy(TREE)).toEqual([]);
  });
});

describe("cycles", () => {
  test("are refused, types included, self-imports too", () => {
    const files = parse({
      "src/a/x.ts": 'import { y } from "./y.ts";',
      "src/a/y.ts": 'import { z } from "./z.ts";',
      "src/a/z.ts": 'import type { X } from "./x.ts";',
      "src/a/self.ts": 'import type { Self } from "./self.ts";',
    });
    expect(checkCycles(files)).toEqual([
      "cycle: src/a/x.ts -> src/a/y.ts -> src/a/z.ts -> src/a/x.ts",
      "cycle: src/a/self.ts -> src/a/self.ts",
    ]);
  });

  test("a diamond is none", () => {
    const files = parse({
      "src/a/top.ts": 'import "./left.ts"; import "./right.ts";',
      "src/a/left.ts": 'import "./bottom.ts";',
      "src/a/right.ts": 'import "./bottom.ts";',
      "src/a/bottom.ts": "",
    });
    expect(checkCycles(files)).toEqual([]);
  });

  test("do not occur in the tree", () => {
    expect(checkCycles(TREE)).toEqual([]);
  });
});

describe("barrels", () => {
  test("are refused but for src/index.ts", () => {
    const files = parse({
      "src/a/all.ts": 'export * from "./b.ts";\nexport { c } from "./c.ts";',
      "src/a/by-hand.ts": 'import { b } from "./b.ts";\nexport { b };',
      "src/a/own.ts": 'export { b } from "./b.ts";\nexport const own = 1;',
      "src/index.ts": 'export { b } from "./a/b.ts";',
    });
    expect(checkBarrels(files)).toHaveLength(2);
  });

  test("do not occur in src/", () => {
    expect(checkBarrels(TREE)).toEqual([]);
  });
});

describe("the ⚡ line", () => {
  test.each([
    ['import { open } from "node:fs/promises";', "file system"],
    ['import type { FileHandle } from "node:fs/promises";', "file system"],
    ['import { connect } from "node:net";', "network"],
    ['await fetch("x");', "network"],
    ['import os from "node:os";', "process"],
    ['import { setFlagsFromString } from "node:v8";', "process"],
    ["process.exitCode = 1;", "process"],
    ["Date.now();", "time"],
    ["new Date(0);", "time"],
    ["performance.now();", "time"],
    ["setTimeout(a, 1);", "time"],
    ["Math.random();", "chance"],
    ['import { randomBytes } from "node:crypto";', "chance"],
    ['import { Worker } from "node:worker_threads";', "worker"],
    ["new MessageChannel();", "worker"],
    ["Buffer.from(a);", "Buffer"],
  ])("is demanded for %s", (text, effect) => {
    expect(checkEffects(parse({ "src/a/x.ts": text }))).toHaveLength(1);
    expect(checkEffects(parse({ "src/a/x.ts": `// ⚡ uses: ${effect}\n${text}` }))).toEqual([]);
  });

  test.each([
    ["// ⚡ uses: time\nexport const a = 1;"],
    ["// ⚡ uses: time, network\nsetTimeout(a, 1);"],
    ["// ⚡ uses: time, time\nsetTimeout(a, 1);"],
    ["// ⚡ uses time\nsetTimeout(a, 1);"],
    ["// ⚡\nexport const a = 1;"],
    ["/** Header. */\n// ⚡ uses: time\nsetTimeout(a, 1);"],
  ])("is refused where it is not exact: %j", (text) => {
    expect(checkEffects(parse({ "src/a/x.ts": text }))).toHaveLength(1);
  });

  test("is not demanded for words in comments and strings, nor for tests", () => {
    const text =
      '/** The process. of new Date() and Buffer */ const a = "Math.random()"; a.process.x(new ArrayBuffer(1));';
    expect(checkEffects(parse({ "src/a/x.ts": text, "test/a/x.test.ts": "setTimeout(a, 1);" }))).toEqual([]);
  });

  test("tells the truth in src/", () => {
    expect(checkEffects(TREE)).toEqual([]);
  });
});
