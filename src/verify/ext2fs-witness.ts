// ⚡ uses: process, time
/** A second reader for the whole tree: libext2fs, in a process of its own, which may die as it likes. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { asByteString, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { showCustomerKey, type CustomerKey } from "../crypto/customer-key.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import { DifferenceList } from "./difference.ts";
import { parseRecord, type Ext2fsPath } from "./_ext2fs-record.ts";
import type { FileNode, FileTree } from "./file-tree.ts";

/** Which image, and the key that opens it. */
export interface Ext2fsSubject {
  readonly storePath: string;
  readonly manifestId: ManifestId;
  readonly customerKey: CustomerKey;
}

/** What the second reader saw. */
export interface Ext2fsReport {
  /** Paths it told of. */
  readonly pathCount: number;
  /** Files that it did not read, for the size of their holes. */
  readonly notReadCount: number;
  readonly differences: DifferenceList;
  /** Why it did not come to its end; its differences are those seen until then. */
  readonly failure: string | undefined;
}

/** What goes with the comparison. */
export interface Ext2fsOptions {
  readonly signal?: AbortSignal | undefined;
  /** The reader's program; for tests, which run from sources. */
  readonly program?: URL;
  /** How long it may say nothing. */
  readonly silenceMs?: number;
  onPath?(pathCount: number): void;
}

const SILENCE_MS = 120_000;
const STDERR_CHARACTERS_MAX = 65536;

/**
 * Compares what libext2fs reads with what we have read. Whatever happens to it is in the report.
 * @throws CANCELLED
 */
export async function compareWithExt2fs(
  subject: Ext2fsSubject,
  tree: FileTree,
  options: Ext2fsOptions = {},
): Promise<Ext2fsReport> {
  const witness = new Witness(tree);
  const program = options.program ?? new URL("./ext2fs-reader.js", import.meta.url);
  // The key goes where no list of processes shows it; the environment may hold one too.
  const child = spawn(process.execPath, [fileURLToPath(program), subject.storePath, subject.manifestId], {
    env: {},
    stdio: "pipe",
  });
  const failure = await hear(child, subject, { ...options, witness });
  if (options.signal?.aborted === true) throw new LambdaImgError("CANCELLED", "cancelled");
  witness.end(failure === undefined);
  const { pathCount, notReadCount, differences } = witness;
  options.onPath?.(pathCount);
  return { pathCount, notReadCount, differences, failure };
}

/** Listens until the process has ended; gives why it failed, or `undefined`. */
async function hear(
  child: ChildProcessWithoutNullStreams,
  subject: Ext2fsSubject,
  options: Ext2fsOptions & { readonly witness: Witness },
): Promise<string | undefined> {
  const { witness, silenceMs = SILENCE_MS } = options;
  let failure: string | undefined;
  const kill = (why: string): void => {
    failure ??= why;
    child.kill("SIGKILL");
  };
  const onAbort = (): void => {
    kill("cancelled");
  };
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const silence = setTimeout(() => {
    kill(`silent for ${silenceMs / 1000} s`);
  }, silenceMs);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-STDERR_CHARACTERS_MAX);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => {
      resolve(error.message);
    });
    child.once("close", (status, signal) => {
      resolve(signal === null ? `exit status ${status ?? 0}` : `ended by ${signal}`);
    });
  });
  // It may be gone before it has read its key.
  child.stdin.on("error", () => undefined).end(`${showCustomerKey(subject.customerKey)}\n`);
  try {
    for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
      silence.refresh();
      const problem = witness.hear(line);
      if (problem !== undefined) kill(problem);
      else if (witness.pathCount % 1000 === 0) options.onPath?.(witness.pathCount);
    }
    const how = await ended;
    if (failure === undefined && !witness.isComplete) failure = lastWords(errors) ?? how;
    return failure;
  } finally {
    clearTimeout(silence);
    options.signal?.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
}

/** The line of an error among what Node prints, which may be a source file of one line. */
function lastWords(errors: string): string | undefined {
  return errors
    .split("\n")
    .filter((line) => line.length < 500 && /^(?:\w*Error|Aborted)\b.*/.test(line))
    .at(-1);
}

/** Compares path by path while they come. */
class Witness {
  readonly differences: DifferenceList = new DifferenceList();
  readonly #tree: FileTree;
  readonly #seen: Set<ByteString> = new Set();
  /** Names of one file: first path by inode number, and by node of our tree. */
  readonly #firstByInode: Map<number, ByteString> = new Map();
  readonly #firstByNode: Map<FileNode, ByteString> = new Map();
  notReadCount = 0;
  isComplete = false;

  constructor(tree: FileTree) {
    this.#tree = tree;
  }

  get pathCount(): number {
    return this.#seen.size;
  }

  /** Takes a line; gives what is wrong with it as such, or `undefined`. */
  hear(line: string): string | undefined {
    const record = parseRecord(line);
    switch (record?.kind) {
      case "path":
        this.#compare(record);
        return undefined;
      case "alive":
        return undefined;
      case "failed":
        return record.message;
      case "end":
        this.isComplete = record.pathCount === this.#seen.size;
        return this.isComplete ? undefined : `counts ${record.pathCount} paths, told of ${this.#seen.size}`;
      case undefined:
        return `unexpected output: ${JSON.stringify(line.slice(0, 200))}`;
    }
  }

  /** Adds the paths that it never told of, if it came to its end. */
  end(isComplete: boolean): void {
    if (!isComplete) return;
    for (const [path, { type }] of this.#tree) {
      if (!this.#seen.has(path)) {
        this.differences.add({ path, field: "path", expected: type, found: "absent" });
      }
    }
  }

  #compare(record: Ext2fsPath): void {
    const { path } = record;
    this.#seen.add(path);
    const node = this.#tree.get(path);
    if (node === undefined) {
      this.differences.add({ path, field: "path", expected: "absent", found: record.type });
      return;
    }
    const compare = (field: string, expected: string | number, found: string | number): void => {
      this.differences.compare(path, field, { expected, found });
    };
    compare("type", node.type, record.type);
    compare("mode", octal(node.mode), octal(record.mode));
    compare("uid", node.uid % 2 ** 16, record.uid);
    compare("gid", node.gid % 2 ** 16, record.gid);
    compare("mtime", node.mtime.seconds >>> 0, record.mtimeLow);
    compare("links", node.linkCount, record.linkCount);
    this.differences.compareBytes(path, "sameFileAs", this.#firstPaths(path, node, record.inodeNumber));
    if (node.type === "symlink") {
      const targets = { expected: node.linkTarget, found: record.linkTarget ?? asByteString("") };
      this.differences.compareBytes(path, "target", targets);
    }
    if (node.type === "file" && record.type === "file") this.#compareContent(node, record);
  }

  #compareContent(node: FileNode, record: Ext2fsPath): void {
    const { path, content, readBytes } = record;
    const sizes = { expected: node.sizeBytes % 2 ** 32, found: record.sizeLow };
    this.differences.compare(path, "size", sizes);
    if (content === undefined || readBytes === undefined) {
      this.notReadCount++;
      return;
    }
    this.differences.compare(path, "read bytes", { expected: node.sizeBytes, found: readBytes });
    this.differences.compare(path, "content", { expected: node.content, found: content });
  }

  #firstPaths(
    path: ByteString,
    node: FileNode,
    inodeNumber: number,
  ): { expected: ByteString; found: ByteString } {
    const expected = this.#firstByNode.get(node) ?? path;
    const found = this.#firstByInode.get(inodeNumber) ?? path;
    if (expected === path) this.#firstByNode.set(node, path);
    if (found === path) this.#firstByInode.set(inodeNumber, path);
    return { expected, found };
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
