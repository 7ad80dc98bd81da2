/** Links of documents lead somewhere, and nothing tells of one machine. */
import { describe, expect, test } from "vitest";

import { checkLinks } from "./_checks/links.ts";
import { listFiles, readTexts } from "./_checks/repository.ts";
import { checkTraces } from "./_checks/traces.ts";

const PATHS = listFiles();
const TEXTS = readTexts(PATHS);

describe("links", () => {
  const other = {
    path: "docs/other.md",
    text: '# One `two`: three\n\n## Twice\n## Twice\n<a id="own"></a>\n',
  };

  test.each([
    ["[x](gone.md)"],
    ["[x](other.md#gone)"],
    ["[x](#gone)"],
    ["[x](/docs/other.md)"],
    ["[x](../../elsewhere.md)"],
    ["[x]: gone.md"],
    ['[x](<gone.md> "title")'],
    ["![x](gone.svg)"],
  ])("are refused: %s", (text) => {
    const files = [other, { path: "docs/page.md", text }];
    expect(checkLinks(files, ["docs/other.md", "docs/page.md"])).toHaveLength(1);
  });

  test.each([
    ["[x](other.md)"],
    ["[x](other.md#one-two-three)"],
    ["[x](other.md#twice-1)"],
    ["[x](other.md#own)"],
    ["[x](../docs/)"],
    ["# Here\n[x](#here)"],
    ["[x](https://example.com/gone.md)"],
    ["`[x](gone.md)`"],
    ["```text\n[x](gone.md)\n```"],
  ])("are taken: %j", (text) => {
    const files = [other, { path: "docs/page.md", text }];
    expect(checkLinks(files, ["docs/other.md", "docs/page.md"])).toEqual([]);
  });

  test("of all documents lead somewhere", () => {
    expect(checkLinks(TEXTS, PATHS)).toEqual([]);
  });
});

describe("traces of one machine", () => {
  const inside = (...parts: string[]): string => parts.join("/");

  test.each([
    [`read ${inside("", "work", "main", "x")}`],
    [`"${inside("", "root", ".cache")}"`],
    [`cd ${inside("", "home", "someone", "x")}`],
    [["registry", "npmjs", "org"].join(".")],
    [["192", "168", "1", "2"].join(".")],
  ])("are refused: %s", (text) => {
    expect(checkTraces([{ path: "a.md", text }])).toHaveLength(1);
  });

  test.each([["see src/work/x and <root>/root.json"], ["127.0.0.1:5000 and 10.0 percent"], ["a/home/b"]])(
    "are not: %s",
    (text) => {
      expect(checkTraces([{ path: "a.md", text }])).toEqual([]);
    },
  );

  test("do not occur in the tree", () => {
    expect(checkTraces(TEXTS)).toEqual([]);
  });
});
