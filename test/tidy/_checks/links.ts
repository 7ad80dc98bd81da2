/** Relative links in documents lead somewhere, anchors included. */
import path from "node:path";

import type { TextFile } from "./source.ts";

/** Links of the Markdown files among `files` whose target is not among `paths` (files of the repository). */
export function checkLinks(files: readonly TextFile[], paths: readonly string[]): string[] {
  const known = new Set(paths);
  for (const file of paths) {
    for (let folder = path.posix.dirname(file); folder !== "."; folder = path.posix.dirname(folder))
      known.add(folder);
  }
  const pages = new Map(
    files.filter((file) => file.path.endsWith(".md")).map((file) => [file.path, withoutCode(file.text)]),
  );
  const problems: string[] = [];
  for (const [page, text] of pages) {
    for (const { target, line } of linksOf(text)) {
      const fault = faultOf(target, { page, known, pages });
      if (fault !== undefined) problems.push(`${page}:${line}: ${target}: ${fault}`);
    }
  }
  return problems;
}

interface Surroundings {
  readonly page: string;
  readonly known: ReadonlySet<string>;
  readonly pages: ReadonlyMap<string, string>;
}

function faultOf(target: string, { page, known, pages }: Surroundings): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  if (target.startsWith("/")) return "links are relative";
  const [place = "", anchor] = target.split("#", 2);
  const file =
    place === ""
      ? page
      : path.posix.join(path.posix.dirname(page), decodeURIComponent(place)).replace(/\/$/, "");
  if (file.startsWith("..")) return "leads out of the repository";
  if (!known.has(file)) return "no such file";
  if (anchor === undefined) return undefined;
  return anchorsOf(pages.get(file) ?? "").has(anchor) ? undefined : "no such heading";
}

/** Blanks fenced blocks and code spans, in which brackets mean nothing; headings keep their words. */
function withoutCode(text: string): string {
  let fence: string | undefined;
  return text
    .split("\n")
    .map((line) => {
      const mark = /^\s*(```+|~~~+)/.exec(line)?.[1];
      if (fence !== undefined) {
        if (mark?.startsWith(fence) === true) fence = undefined;
        return "";
      }
      if (mark !== undefined) {
        fence = mark;
        return "";
      }
      return line.startsWith("#") ? line : line.replace(/`[^`]*`/g, (span) => " ".repeat(span.length));
    })
    .join("\n");
}

function linksOf(text: string): { target: string; line: number }[] {
  const pattern = /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\s*\[[^\]]+\]:\s*<?([^\s>]+)>?/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    target: match[1] ?? match[2] ?? "",
    line: text.slice(0, match.index).split("\n").length + (match[0].startsWith("\n") ? 1 : 0),
  }));
}

/** Anchors as GitHub makes them from headings, and those of `<a id>`. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, id] of text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(id ?? "");
  for (const [, heading] of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const words = (heading ?? "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const slug = words
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Mark}\p{Number}\p{Connector_Punctuation} -]/gu, "")
      .replaceAll(" ", "-");
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}
