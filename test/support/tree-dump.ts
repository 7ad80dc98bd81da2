/** Reads trees written as text: fixtures/trees/README.md has the form. */
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import type { SparsePart } from "./tar-builder.ts";
import type { RecipeEntry } from "./tree-recipe.ts";

/** What one file of fixtures/trees says. */
export interface TreeDump {
  /** Base first. */
  readonly layers: readonly (readonly RecipeEntry[])[];
  readonly sizeRequest: SizeRequest;
  /** The code of the error that it must give. */
  readonly code: string | undefined;
}

const TYPES = ["file", "dir", "symlink", "hardlink", "char", "block", "fifo"] as const;

/** Throws where the text is not of the form. */
export function parseTreeDump(text: string): TreeDump {
  const layers: RecipeEntry[][] = [[]];
  let sizeRequest: SizeRequest = { kind: "auto" };
  let code: string | undefined;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (!line.startsWith("--- ")) {
      for (const expanded of expand(line)) layers.at(-1)?.push(parseEntry(expanded));
      continue;
    }
    const [word, kind, size] = line.slice(4).split(" ");
    if (word === "layer") layers.push([]);
    else if (word === "code") code = kind;
    else if (word === "size" && (kind === "total" || kind === "free"))
      sizeRequest = { kind, sizeBytes: Number(size) };
    else throw new Error(`unknown line: ${line}`);
  }
  return { layers, sizeRequest, code };
}

/** A line with `{1-400}` stands for 400 lines. */
function expand(line: string): string[] {
  const range = /\{(\d+)-(\d+)\}/.exec(line);
  if (range === null) return [line];
  const [first, last] = [Number(range[1]), Number(range[2])];
  return Array.from({ length: last - first + 1 }, (_, i) => line.replaceAll(range[0], String(first + i)));
}

function parseEntry(line: string): RecipeEntry {
  const [path = "", kind = "", mode = "", owner = "", mtime = "", content = "-", ...xattrs] = line.split(" ");
  const type = TYPES.find((known) => known === kind);
  const [uid, gid] = owner.split(":").map(Number);
  const [seconds, nanoseconds] = mtime.split(".").map(Number);
  if (type === undefined || !path.startsWith("/") || gid === undefined || !/^[0-7]+$/.test(mode))
    throw new Error(`no entry: ${line}`);
  return {
    path: unescape(path),
    type,
    mode: parseInt(mode, 8),
    uid: uid ?? 0,
    gid,
    mtime: [seconds ?? 0, nanoseconds ?? 0],
    xattrs: Object.fromEntries(
      xattrs.map((text) => {
        const [, name = "", sign, value = ""] = /^(.*?)([=*])(.*)$/s.exec(text) ?? [];
        return [unescape(name), sign === "*" ? filler(value) : unescape(value)];
      }),
    ),
    ...parseContent(type, content),
  };
}

function parseContent(type: (typeof TYPES)[number], content: string): Partial<RecipeEntry> {
  if (type === "symlink" || type === "hardlink")
    return { target: content.startsWith("*") ? filler(content.slice(1)) : unescape(content) };
  if (type === "char" || type === "block") {
    const [major = 0, minor = 0] = content.split(":").map(Number);
    return { rdev: [major, minor] };
  }
  if (content === "-") return {};
  if (content.startsWith("=")) return { body: unescape(content.slice(1)) };
  if (content.startsWith("*")) return { body: filler(content.slice(1)) };
  const [word, size, ...list] = content.split(",");
  if (word !== "sparse") throw new Error(`no content: ${content}`);
  const parts = list.map((part): SparsePart => {
    const [offset, text = ""] = part.split("=");
    return { offset: Number(offset), bytes: unescape(text) };
  });
  return { sparse: { sizeBytes: Number(size), parts } };
}

/** `5,ab` is `ababa`. */
function filler(text: string): string {
  const comma = text.indexOf(",");
  const unit = unescape(text.slice(comma + 1));
  const size = Number(text.slice(0, comma));
  return unit.repeat(Math.ceil(size / unit.length)).slice(0, size);
}

function unescape(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}
