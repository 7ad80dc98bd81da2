/** File trees as an outside program lists them, and the differences between two. */

/** One path of a tree. Strings that are bytes have one character (0 to 255) a byte. */
export interface JudgedEntry {
  /** From the root directory, which is `/`. */
  readonly path: string;
  readonly type: "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds and nanoseconds, floor semantics. */
  readonly mtime: readonly [number, number];
  readonly nlink: number;
  /** Values in base64, by name. */
  readonly xattrs: Readonly<Record<string, string>>;
  /** Files only. */
  readonly size?: number;
  /** Files only, hexadecimal. */
  readonly sha256?: string;
  /** Symlinks only. */
  readonly target?: string;
  /** Devices only: major, minor. */
  readonly rdev?: readonly [number, number];
  /** Paths with the same number are one inode; absent where a path is its inode's only one. */
  readonly link?: number;
}

/** What a test expects. Its link counts are not compared: they follow from the rest, and hosts count in other ways. */
export type ExpectedEntry = Omit<JudgedEntry, "nlink"> & {
  readonly nlink?: number;
  /** A directory that no layer has an entry for: its mode, owner and time are open, unless compared strictly. */
  readonly implied?: boolean;
};

/** What two trees can differ in. */
export type Aspect =
  | "missing"
  | "extra"
  | "type"
  | "mode"
  | "owner"
  | "mtime"
  | "size"
  | "content"
  | "target"
  | "rdev"
  | "xattrs"
  | "links"
  | "nlink";

/** How to compare. */
export interface CompareOptions {
  /** True for differences that do not count. */
  readonly overlook?: (aspect: Aspect, path: string) => boolean;
  /** Compare mode, owner and time of implied directories too. */
  readonly isImpliedStrict?: boolean;
  /** An empty /lost+found that is not expected is a difference. */
  readonly isLostFoundStrict?: boolean;
}

/**
 * All differences, one line each; none where the trees are the same. Also checks the found tree by itself: a
 * directory has a link for its name, one for `.` and one for each subdirectory, or 1 from 65,000 on (ext4
 * dir_nlink); another inode has as many links as paths. Overlook `nlink` where `found` is no ext4.
 */
export function compareTrees(
  expected: readonly ExpectedEntry[],
  found: readonly JudgedEntry[],
  options: CompareOptions = {},
): string[] {
  const differences: string[] = [];
  const report: Report = (aspect, path, text) => {
    if (options.overlook?.(aspect, path) !== true) differences.push(`${aspect}: ${show(path)}: ${text}`);
  };
  const wanted = byPath(expected, "expected", differences);
  const there = byPath(found, "found", differences);
  if (
    options.isLostFoundStrict !== true &&
    !wanted.has("/lost+found") &&
    isEmptyDirectory(there, "/lost+found")
  ) {
    there.delete("/lost+found");
  }
  for (const entry of wanted.values()) {
    const other = there.get(entry.path);
    if (other === undefined) report("missing", entry.path, entry.type);
    else compareEntry(entry, other, { report, isImpliedStrict: options.isImpliedStrict === true });
  }
  for (const entry of there.values()) if (!wanted.has(entry.path)) report("extra", entry.path, entry.type);
  compareLinks(wanted, there, report);
  checkLinkCounts(found, report);
  return differences;
}

type Report = (aspect: Aspect, path: string, text: string) => void;

function byPath<T extends { readonly path: string }>(
  entries: readonly T[],
  whose: string,
  differences: string[],
): Map<string, T> {
  const map = new Map<string, T>();
  for (const entry of entries) {
    if (map.has(entry.path)) differences.push(`twice: ${show(entry.path)}: among the ${whose} entries`);
    map.set(entry.path, entry);
  }
  return map;
}

function compareEntry(
  want: ExpectedEntry,
  have: JudgedEntry,
  { report, isImpliedStrict }: { report: Report; isImpliedStrict: boolean },
): void {
  const differ = (aspect: Aspect, left: string, right: string): void => {
    if (left !== right) report(aspect, want.path, `expected ${left}, found ${right}`);
  };
  if (want.type !== have.type) {
    differ("type", want.type, have.type);
    return;
  }
  if (want.implied !== true || isImpliedStrict) {
    // Linux gives every symlink the mode 0777.
    differ("mode", octal(want.type === "symlink" ? 0o777 : want.mode), octal(have.mode));
    differ("owner", `${want.uid}:${want.gid}`, `${have.uid}:${have.gid}`);
    differ("mtime", want.mtime.join("+"), have.mtime.join("+"));
  }
  differ("size", String(want.size), String(have.size));
  differ("content", String(want.sha256), String(have.sha256));
  differ("target", show(want.target ?? ""), show(have.target ?? ""));
  differ("rdev", String(want.rdev), String(have.rdev));
  for (const name of new Set([...Object.keys(want.xattrs), ...Object.keys(have.xattrs)])) {
    const [left, right] = [want.xattrs[name], have.xattrs[name]];
    if (left !== right) {
      const text = `expected ${left?.slice(0, 80) ?? "none"}, found ${right?.slice(0, 80) ?? "none"}`;
      report("xattrs", want.path, `${show(name)}: ${text}`);
    }
  }
}

/** The same paths have to share an inode in both trees. */
function compareLinks(
  wanted: ReadonlyMap<string, ExpectedEntry>,
  there: ReadonlyMap<string, JudgedEntry>,
  report: Report,
): void {
  const left = groupsOf(wanted.values());
  const right = groupsOf(there.values());
  for (const path of wanted.keys()) {
    const [one, other] = [left.get(path) ?? path, right.get(path) ?? path];
    if (there.has(path) && one !== other) {
      report("links", path, `expected one inode with ${show(one)}, found with ${show(other)}`);
    }
  }
}

/** For each path of a group all paths of it, in byte order, as one text. */
function groupsOf(entries: Iterable<ExpectedEntry>): Map<string, string> {
  const groups = new Map<number, string[]>();
  for (const { link, path } of entries) {
    if (link !== undefined) groups.set(link, [...(groups.get(link) ?? []), path]);
  }
  const texts = new Map<string, string>();
  for (const paths of groups.values()) {
    const text = paths.sort((left, right) => (left < right ? -1 : 1)).join(" ");
    for (const path of paths) texts.set(path, text);
  }
  return texts;
}

const EXT4_LINKS_MAX = 65_000;

function checkLinkCounts(found: readonly JudgedEntry[], report: Report): void {
  const subdirectories = new Map<string, number>();
  const members = new Map<number, number>();
  for (const { path, type, link } of found) {
    const parent = path.slice(0, path.lastIndexOf("/")) || "/";
    if (type === "dir" && path !== "/") subdirectories.set(parent, (subdirectories.get(parent) ?? 0) + 1);
    if (link !== undefined) members.set(link, (members.get(link) ?? 0) + 1);
  }
  for (const { path, type, link, nlink } of found) {
    const links =
      type === "dir" ? 2 + (subdirectories.get(path) ?? 0) : link === undefined ? 1 : members.get(link);
    const expected = type === "dir" && links !== undefined && links >= EXT4_LINKS_MAX ? 1 : links;
    if (nlink !== expected) report("nlink", path, `expected ${expected ?? "none"}, found ${nlink}`);
  }
}

function isEmptyDirectory(entries: ReadonlyMap<string, JudgedEntry>, path: string): boolean {
  return (
    entries.get(path)?.type === "dir" && ![...entries.keys()].some((other) => other.startsWith(`${path}/`))
  );
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function show(text: string): string {
  const printable = text.replace(
    /[^\x20-\x7e]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return printable.length <= 300 ? printable : `${printable.slice(0, 140)}…${printable.slice(-140)}`;
}
