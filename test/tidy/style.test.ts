/** The rules of style that need no type checker (CONTRIBUTING.md, "Style"), and that every error has its place. */
import { describe, expect, test } from "vitest";

import { checkBanned } from "./_checks/banned.ts";
import { checkDeadExports } from "./_checks/dead-exports.ts";
import { checkErrorCodes } from "./_checks/error-codes.ts";
import { checkLength, FILE_LINES_MAX } from "./_checks/length.ts";
import { checkMirror } from "./_checks/mirror.ts";
import { checkNames } from "./_checks/names.ts";
import { listFiles, readTexts } from "./_checks/repository.ts";
import { parseSource, parseSources, type SourceFile } from "./_checks/source.ts";
import { ALLOWED_WORDS, TEST_ONLY_EXPORTS } from "./exemptions.ts";

const TEXTS = readTexts(listFiles());
const TREE = parseSources(TEXTS);

function parse(files: Record<string, string>): SourceFile[] {
  return Object.entries(files).map(([path, text]) => parseSource(path, text));
}

describe("file length", () => {
  test(`is refused above ${FILE_LINES_MAX} lines`, () => {
    const lines = (count: number): string => "x;\n".repeat(count);
    expect(checkLength([{ path: "src/a/x.ts", text: lines(FILE_LINES_MAX) }])).toEqual([]);
    expect(checkLength([{ path: "src/a/x.ts", text: lines(FILE_LINES_MAX + 1) }])).toHaveLength(1);
  });

  test("holds in the tree", () => {
    expect(checkLength(TEXTS)).toEqual([]);
  });
});

describe("banned tokens", () => {
  test.each([
    ["export default 1;"],
    ["enum Colour { Red }"],
    ["namespace Space {}"],
    ["left.localeCompare(right);"],
    ["console.log(1);"],
    ["a as any;"],
    ["a as unknown as B;"],
    ["names.sort();"],
    ["names.toSorted( );"],
    ["// @ts-ignore\na;"],
    ["// @ts-expect-error: reason\na;"],
    ["/* FIXME later */"],
    ["// TODO: later"],
    ["a!.b;"],
    ["class A { b!: number }"],
    // A template's expressions are code.
    ["`${names.sort()}`;"],
  ])("are refused: %j", (text) => {
    expect(checkBanned(parse({ "src/a/x.ts": text }))).toHaveLength(1);
  });

  test.each([
    ["// A self-contained namespace of chunks; console.log is banned."],
    ['const text = "export default console.log(a as any)";'],
    ["const pattern = /enum x/;"],
    ["names.sort(compareNames);"],
    ["// TODO(#12): when the kernel can."],
    ["const enumerate = !isEmpty && a !== b;"],
    ["/** Doc of namespace a. */\nexport const a = `x ${b} namespace y`;"],
  ])("are not seen in %j", (text) => {
    expect(checkBanned(parse({ "src/a/x.ts": text }))).toEqual([]);
  });

  test("do not occur in the tree", () => {
    expect(checkBanned(TREE)).toEqual([]);
  });
});

describe("dead exports", () => {
  const library = "export const used = 1; export const dead = 2; export function tested() {}";

  test("are refused, those that only tests use included", () => {
    const files = parse({
      "src/a/x.ts": library,
      "src/b/y.ts": 'import { used } from "../a/x.ts";',
      "test/a/x.test.ts": 'import { used, tested } from "../../src/a/x.ts";',
    });
    expect(checkDeadExports(files, {})).toEqual([
      "src/a/x.ts:1: dead is exported, but unused",
      "src/a/x.ts:1: tested is exported, but only tests use it",
    ]);
    expect(checkDeadExports(files, { "src/a/x.ts#tested": "reason" })).toHaveLength(1);
  });

  test("are refused in the list of exceptions once it is out of date", () => {
    const files = parse({
      "src/a/x.ts": "export const a = 1;",
      "src/index.ts": 'export { a } from "./a/x.ts";',
    });
    expect(checkDeadExports(files, { "src/a/x.ts#a": "reason" })).toHaveLength(1);
  });

  test("are not: names through a namespace, types of another export, what bin/ runs", () => {
    const files = parse({
      "src/a/x.ts": "export const one = 1; export const two = 2;",
      "src/a/y.ts": "export interface Options {} export function run(options: Options) {}",
      "src/b/z.ts": 'import * as x from "../a/x.ts"; x.one; import { run } from "../a/y.ts";',
      "src/cli/main.ts": "export function main() {}",
      "bin/lambda-img": '#!/usr/bin/env node\nload(require.resolve("../dist/program/main.js"));',
    });
    expect(checkDeadExports(files, {})).toEqual(["src/a/x.ts:1: two is exported, but unused"]);
  });

  test("do not occur in src/", () => {
    expect(checkDeadExports(TREE, TEST_ONLY_EXPORTS)).toEqual([]);
  });
});

describe("tests mirror src/", () => {
  test("a file with code and no test is refused", () => {
    const files = parse({
      "src/a/x.ts": "export function x() {}",
      "src/a/y.ts": "export const y = () => 1;",
      "src/a/tested.ts": "export function tested() {}",
      "test/a/tested.test.ts": "",
      "src/a/_private.ts": "export function hidden() {}",
      "src/a/types.ts": "export interface A { b(): void }",
      "src/a/constants.ts": "export const A = 1; export const B: number = 2 * A;",
    });
    expect(checkMirror(files)).toEqual([
      "src/a/x.ts: has no test; expected test/a/x.test.ts",
      "src/a/y.ts: has no test; expected test/a/y.test.ts",
    ]);
  });

  test("every file with code has its test", () => {
    expect(checkMirror(TREE)).toEqual([]);
  });
});

describe("names", () => {
  test.each([
    ["src/a/chunk-util.ts", ""],
    ["src/a/x.ts", "const layerBlob = 1;"],
    ["src/a/x.ts", "interface ImageInfo {}"],
    ["src/a/x.ts", "class StoreManager {}"],
    ["src/a/x.ts", "function f(data: Uint8Array) {}"],
    ["src/a/x.ts", "const { data } = b;"],
    ["src/a/x.ts", "interface A { readonly blobDigest: string }"],
    ["src/a/x.ts", "const CHUNK_DATA = 1;"],
    ["src/a/x.ts", "class A { #contentHash = 1; }"],
    ["src/a/x.ts", "function makeHelper() {}"],
  ])("with anti-terms are refused: %s %s", (path, text) => {
    expect(checkNames(parse({ [path]: text }), [])).toHaveLength(1);
  });

  test("of others, verbs and terms of two words are taken", () => {
    const text =
      'import { data } from "other"; function hashFile() {} const dataKey = { data: blob.info }; const database = 1; const hashSeed = 1;';
    expect(checkNames(parse({ "src/a/x.ts": text }), [])).toEqual([]);
  });

  test("that are excused where they stand are taken there only", () => {
    const allowed = [{ where: "src/a/", word: "info", reason: "a term of the standard" }];
    const text = "const info = 1;";
    expect(checkNames(parse({ "src/a/x.ts": text, "src/b/x.ts": text }), allowed)).toHaveLength(1);
  });

  test("in src/ are of the glossary", () => {
    expect(checkNames(TREE, ALLOWED_WORDS)).toEqual([]);
  });
});

describe("error codes", () => {
  const files = [
    parseSource(
      "src/base/error.ts",
      'export const ERROR_KINDS = { A_BAD: "invalid", B_GONE: "not-found" } as const;',
    ),
    parseSource("src/a/x.ts", 'throw new LambdaImgError("A_BAD", "B_GONE");'),
  ];
  const head = "| code | kind | meaning |\n|---|---|---|\n";
  const page = `${head}| \`A_BAD\` | invalid | bad |\n| \`B_GONE\` | \`not-found\` | gone |\n`;

  test("that are documented and used are taken", () => {
    expect(checkErrorCodes(files, page)).toEqual([]);
  });

  test.each([
    ["no page", undefined],
    ["a missing row", `${head}| \`A_BAD\` | invalid | bad |\n`],
    ["a row outside a table of codes", page.replace("| code |", "| thing |").replace("`B_GONE`", "`A_BAD`")],
    ["a wrong kind", page.replace("| invalid |", "| usage |")],
    ["a code that does not exist", `${page}| \`C_NEW\` | usage | new |\n`],
  ])("are refused for %s", (_, text) => {
    expect(checkErrorCodes(files, text)).not.toEqual([]);
  });

  test("that nothing throws are refused", () => {
    expect(checkErrorCodes(files.slice(0, 1), page)).toHaveLength(2);
  });

  test("are documented in docs/cli.md and used", () => {
    const cliPage = TEXTS.find((file) => file.path === "docs/cli.md")?.text;
    expect(checkErrorCodes(TREE, cliPage)).toEqual([]);
  });
});
