import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";

import { escapeJson, escapeText } from "../../src/report/_escape.ts";
import { renderPage, type Page } from "../../src/report/page.ts";

/** What would break out of text, attributes, scripts or comments. */
const HOSTILE = `</script><img src=x onerror=alert(1)>"'&<!--</style>]]>\u2028\u202e\0`;

const PAGE: Page = {
  title: HOSTILE,
  intro: HOSTILE,
  facts: [[HOSTILE, HOSTILE]],
  tables: [{ caption: HOSTILE, head: [HOSTILE], rows: [[HOSTILE]] }],
  longTables: [],
  uniqueLabel: HOSTILE,
  maps: {
    images: [{ title: HOSTILE, lines: [HOSTILE], note: HOSTILE, regionRows: [[HOSTILE]] }],
    drawing: {
      images: [{ title: HOSTILE, regions: [] }],
      sets: [],
      lists: [[1, [[HOSTILE, HOSTILE]]]],
    },
    note: HOSTILE,
  },
};

/** The contents of all elements of a name. */
function elements(html: string, name: string): string[] {
  return [...html.matchAll(new RegExp(`<${name}[^>]*>([^]*?)</${name}>`, "g"))].map(([, text]) => text ?? "");
}

test("text that comes from images stays text", () => {
  const html = renderPage(PAGE);
  expect(html).not.toContain("<img");
  expect(html).not.toContain("<!--");
  const scripts = elements(html, "script");
  expect(scripts.length).toBe(2);
  expect(JSON.parse(scripts[0] ?? "")).toMatchObject({ uniqueLabel: HOSTILE, images: [{ title: HOSTILE }] });
  expect(elements(html, "style").length).toBe(1);
});

test("any text can be had back, and has no character that means something to HTML", () => {
  const decode = (text: string): string =>
    text
      .replace(/&#39;/g, "'")
      .replace(/&quot;/g, '"')
      .replace(/&gt;/g, ">")
      .replace(/&lt;/g, "<")
      .replace(/&amp;/g, "&");
  const nasty = fc.string({ unit: fc.constantFrom("<", ">", "&", '"', "'", "a", ";", "é", "lt") });
  fc.assert(
    fc.property(nasty, (text) => {
      expect(escapeText(text)).not.toMatch(/[<>"']/);
      expect(decode(escapeText(text))).toBe(text);
      expect(escapeJson({ text })).not.toContain("<");
      expect(JSON.parse(escapeJson({ text }))).toEqual({ text });
    }),
  );
});

test("the policy allows the page's own script and style, and nothing else", () => {
  const html = renderPage(PAGE);
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? "";
  const integrity = (text: string | undefined): string =>
    `'sha256-${createHash("sha256")
      .update(text ?? "")
      .digest("base64")}'`;
  expect(policy.split("; ")).toEqual([
    "default-src 'none'",
    `script-src ${integrity(elements(html, "script")[1])}`,
    `style-src ${integrity(elements(html, "style")[0])}`,
    "base-uri 'none'",
    "form-action 'none'",
  ]);
});

test("the page names nothing outside of itself", () => {
  const plain = JSON.parse(JSON.stringify(PAGE).replaceAll(JSON.stringify(HOSTILE), '"text"')) as Page;
  expect(renderPage(plain)).not.toMatch(/\b(?:src|href|action)\s*=|@import|url\(|https?:/);
});
