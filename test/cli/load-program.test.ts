import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { loadProgram, type LoadedProgram } from "../../src/cli/load-program.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

let folder: ReturnType<typeof temporaryDirectory>;
let file: string;

beforeEach(() => {
  folder = temporaryDirectory();
  file = path.join(folder.path, "program.js");
});

afterEach(() => {
  folder.remove();
});

describe("a program", () => {
  test("gets what Node gives a CommonJS file, and its exports are given back", () => {
    writeFileSync(
      file,
      "exports.found = [__filename, __dirname, require('node:path').sep, module.exports === exports];",
    );
    expect(loadProgram(file).exports).toEqual({ found: [file, folder.path, path.sep, true] });
  });

  test("may be of any characters", () => {
    writeFileSync(file, "exports.found = 'µ € 😀';");
    expect(loadProgram(file).exports).toEqual({ found: "µ € 😀" });
  });

  test("requires what lies beside it", () => {
    writeFileSync(path.join(folder.path, "other.js"), "exports.answer = 4;");
    writeFileSync(file, "exports.found = require('./other.js').answer;");
    expect(loadProgram(file).exports).toEqual({ found: 4 });
  });

  test("may replace its exports", () => {
    writeFileSync(file, "module.exports = 4;");
    expect(loadProgram(file).exports).toBe(4);
  });

  test.each(["throw new Error('no');", "\n\n  throw new Error('no');"])(
    "that throws does so with its own file, line and column: %j",
    (text) => {
      writeFileSync(file, text);
      const line = text.split("\n").length;
      const column = text.indexOf("new") - text.lastIndexOf("\n");
      let stack = "";
      try {
        loadProgram(file);
      } catch (error) {
        stack = (error as Error).stack ?? "";
      }
      expect(stack).toContain(`${file}:${line}:${column}`);
    },
  );

  test("that is not there is named", () => {
    expect(() => loadProgram(file)).toThrow(file);
  });
});

describe("compiled code", () => {
  const SOURCE = "exports.answer = () => 4;";

  beforeEach(() => {
    writeFileSync(file, SOURCE);
    keptBy(loadProgram(file));
  });

  function keptBy(program: LoadedProgram): void {
    answerOf(program);
    program.keepCode();
  }

  function answerOf({ exports }: LoadedProgram): unknown {
    return (exports as { answer: () => unknown }).answer();
  }

  /** The one file beside the program. */
  function codeFile(): string {
    const [name = "", ...others] = readdirSync(folder.path).filter((entry) => entry !== "program.js");
    expect(others).toEqual([]);
    return path.join(folder.path, name);
  }

  test("is taken by the next run", () => {
    const program = loadProgram(file);
    expect([program.isCompiled, answerOf(program)]).toEqual([true, 4]);
  });

  test("says which Node has made it, and is of no other", () => {
    expect(path.basename(codeFile())).toBe(
      `program.js.${process.version}-${process.platform}-${process.arch}.cache`,
    );
  });

  // V8 would run the old code here: it compares lengths.
  test.each([
    [SOURCE.replace("4", "5"), 5],
    [SOURCE.replace("4", "55"), 55],
    [`${SOURCE}\n`, 4],
  ])("of another source is left out: %j", (source, answer) => {
    writeFileSync(file, source);
    const program = loadProgram(file);
    expect([program.isCompiled, answerOf(program)]).toEqual([false, answer]);
  });

  test("that is damaged anywhere, or cut off, is left out", () => {
    const name = codeFile();
    const bytes = readFileSync(name);
    const places = [0, 31, 32, 33, 40, 63, 64, bytes.length >> 1, bytes.length - 1];
    const damaged = places.map((at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    });
    const cut = [0, 1, 32, 64, bytes.length - 1].map((length) => bytes.subarray(0, length));
    for (const wrong of [...damaged, ...cut, Buffer.concat([bytes, Buffer.of(0)])]) {
      writeFileSync(name, wrong);
      const program = loadProgram(file);
      expect([program.isCompiled, answerOf(program)]).toEqual([false, 4]);
    }
    writeFileSync(name, bytes);
    expect(loadProgram(file).isCompiled).toBe(true);
  });
});

const PROGRAM = path.resolve(import.meta.dirname, "../../dist/program");
const BUILT = path.join(PROGRAM, `main.js.${process.version}-${process.platform}-${process.arch}.cache`);

describe.skipIf(!existsSync(BUILT))("what npm run build made (needs it, by this Node)", () => {
  const SCRIPT = `
    const { loadProgram } = require("./load-program.js");
    const { isCompiled, exports } = loadProgram(require("node:path").resolve("main.js"));
    console.log(isCompiled, typeof exports.main);`;

  // In a process of its own: V8 asks nothing where it has compiled the same source already.
  function loaded(...flags: readonly string[]): string {
    const options = { cwd: PROGRAM, encoding: "utf8" } as const;
    return spawnSync(process.execPath, [...flags, "--eval", SCRIPT], options).stdout;
  }

  test("is taken", () => {
    expect(loaded()).toBe("true function\n");
  });

  test("is left out by V8 where it runs with other flags, and the program runs all the same", () => {
    expect(loaded("--no-opt")).toBe("false function\n");
  });

  test("imports nothing: V8 would have nobody to ask for a module", () => {
    expect(readFileSync(path.join(PROGRAM, "main.js"), "latin1")).not.toMatch(/\bimport\(/);
  });

  test("is of ASCII, which takes V8 less time", () => {
    expect(readFileSync(path.join(PROGRAM, "main.js")).every((byte) => byte < 0x80)).toBe(true);
  });
});
