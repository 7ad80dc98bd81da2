// ⚡ uses: time
/** `lambda-img ls` and `lambda-img cat`: a look into an image, opening only the chunks that it needs. */
import {
  compareByteStrings,
  toByteString,
  showByteString,
  utf8ByteString,
  concatBytes,
} from "../base/bytes.ts";
import { DigestBuilder } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";
import { MIB } from "../base/units.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader, type Ext4Inode } from "../ext4/reader.ts";
import { openContext, openImageManifest, type CommonOptions } from "./context.ts";
import { bytesJson, toBase64, writeBytes, type Output } from "./output.ts";
import type { ByteString } from "../base/bytes.ts";

/** The options of `ls` as commander gives them. */
export interface ListOptions extends CommonOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** One line of a listing. */
interface Listed {
  readonly path: ByteString;
  readonly inode: Ext4Inode;
  readonly linkTarget: ByteString | undefined;
}

/** Prints what lies at a path: a directory's names, or the path itself. */
export async function list(operands: readonly string[], options: ListOptions, use: Use): Promise<void> {
  const [image = "", path = "/"] = operands;
  await withReader(image, options, use, async (reader, device) => {
    const isPlain = options.long !== true && options.json !== true && options.recursive !== true;
    const names = isPlain ? await namesOf(reader, utf8ByteString(path)) : undefined;
    if (names !== undefined) {
      use.output.result(undefined, () => names.map((name) => `${showByteString(name)}\n`).join(""));
      return;
    }
    const listed: Listed[] = [];
    for await (const item of find(reader, utf8ByteString(path), options.recursive === true))
      listed.push(item);
    use.output.result(
      { command: "ls", image, path, entries: listed.map(toJson), chunksRead: device.chunksRead },
      () => listed.map((item) => (options.long === true ? longLine(item) : `${shownPath(item)}\n`)).join(""),
    );
  });
}

/** The largest file whose content goes into a JSON result. */
const JSON_CONTENT_BYTES_MAX: number = 64 * MIB;

/** Writes a file's bytes to stdout; with `--json`, an object that holds them in base64. */
export async function cat(operands: readonly string[], options: CommonOptions, use: Use): Promise<void> {
  const [image = "", path = ""] = operands;
  await withReader(image, options, use, async (reader, device) => {
    const { inode } = await reader.lookup(utf8ByteString(path), { followLast: true });
    if (inode.type !== "file") {
      throw new LambdaImgError("FILE_TYPE_UNSUPPORTED", `${path}: expected a file, found a ${inode.type}`);
    }
    if (options.json !== true) {
      for await (const piece of reader.readFile(inode)) await writeBytes(piece);
      return;
    }
    if (inode.sizeBytes > JSON_CONTENT_BYTES_MAX) {
      throw new LambdaImgError(
        "DOCUMENT_TOO_LARGE",
        `${path}: too large for --json: expected at most ${JSON_CONTENT_BYTES_MAX} bytes, found ${inode.sizeBytes}`,
      );
    }
    const pieces: Uint8Array[] = [];
    const digest = new DigestBuilder();
    for await (const piece of reader.readFile(inode)) {
      digest.update(piece);
      pieces.push(piece);
    }
    const content = toBase64(concatBytes(...pieces));
    const json = {
      command: "cat",
      image,
      path,
      sizeBytes: inode.sizeBytes,
      digest: digest.finish(),
      content,
    };
    use.output.result({ ...json, chunksRead: device.chunksRead }, () => "");
  });
}

async function withReader(
  image: string,
  options: CommonOptions,
  use: Use,
  work: (reader: Ext4Reader, device: ImageDevice) => Promise<void>,
): Promise<void> {
  const context = await openContext(options, { create: false, output: use.output });
  try {
    const { content } = await openImageManifest(context, image);
    const device = new ImageDevice(context.store, content);
    await work(await Ext4Reader.open(device), device);
  } finally {
    await context.store.close();
  }
}

/** A directory's names alone: no inode of them has to be read. `undefined` where the path is no directory. */
async function namesOf(reader: Ext4Reader, path: ByteString): Promise<ByteString[] | undefined> {
  const { inode } = await reader.lookup(path, { followLast: path.endsWith("/") });
  if (inode.type !== "dir") return undefined;
  return (await reader.listDirectory(inode)).map(({ name }) => name).sort(compareByteStrings);
}

async function* find(reader: Ext4Reader, path: ByteString, isRecursive: boolean): AsyncGenerator<Listed> {
  const { inode } = await reader.lookup(path, { followLast: path.endsWith("/") });
  const start =
    inode.type === "symlink" && !isRecursive
      ? inode
      : (await reader.lookup(path, { followLast: true })).inode;
  if (start.type !== "dir") {
    yield { path, inode, linkTarget: await targetOf(reader, inode) };
    return;
  }
  const todo = [{ prefix: toByteString(new Uint8Array(0)), directory: start }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const entries = [...(await reader.listDirectory(next.directory))].sort((a, b) =>
      compareByteStrings(a.name, b.name),
    );
    const below: typeof todo = [];
    for (const { name, inodeNumber } of entries) {
      const child = await reader.readInode(inodeNumber);
      const childPath = (next.prefix + name) as ByteString;
      yield { path: childPath, inode: child, linkTarget: await targetOf(reader, child) };
      if (isRecursive && child.type === "dir")
        below.push({ prefix: `${childPath}/` as ByteString, directory: child });
    }
    todo.push(...below.reverse());
  }
}

async function targetOf(reader: Ext4Reader, inode: Ext4Inode): Promise<ByteString | undefined> {
  return inode.type === "symlink" ? reader.readLink(inode) : undefined;
}

function toJson({ path, inode, linkTarget }: Listed): Record<string, unknown> {
  return {
    ...bytesJson("path", path),
    type: inode.type,
    mode: inode.mode.toString(8).padStart(4, "0"),
    uid: inode.uid,
    gid: inode.gid,
    sizeBytes: inode.sizeBytes,
    mtime: [inode.mtime.seconds, inode.mtime.nanoseconds],
    links: inode.linkCount,
    inode: inode.inodeNumber,
    ...(linkTarget === undefined ? {} : bytesJson("target", linkTarget)),
    ...(inode.type === "char" || inode.type === "block"
      ? { device: [inode.deviceMajor, inode.deviceMinor] }
      : {}),
  };
}

const TYPE_LETTERS = {
  file: "-",
  dir: "d",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
} as const;

function longLine(item: Listed): string {
  const { inode } = item;
  const size =
    inode.type === "char" || inode.type === "block"
      ? `${inode.deviceMajor},${inode.deviceMinor}`
      : `${inode.sizeBytes}`;
  // UTC, so that the listing is the same everywhere.
  const time = new Date(inode.mtime.seconds * 1000).toISOString().replace(".000Z", "Z");
  const owner = `${inode.uid}:${inode.gid}`;
  return `${TYPE_LETTERS[inode.type]}${permissions(inode.mode)} ${owner.padStart(11)} ${size.padStart(12)} ${time} ${shownPath(item)}\n`;
}

function shownPath({ path, linkTarget }: Listed): string {
  return showByteString(path) + (linkTarget === undefined ? "" : ` -> ${showByteString(linkTarget)}`);
}

/** rwxr-xr-x, with s, S, t and T for the three high bits, as ls(1). */
function permissions(mode: number): string {
  const special = [
    [0o4000, "s", "S"],
    [0o2000, "s", "S"],
    [0o1000, "t", "T"],
  ] as const;
  return special
    .map(([bit, withExecute, without], i) => {
      const bits = (mode >> (6 - 3 * i)) & 7;
      const execute = (bits & 1) !== 0;
      const last = (mode & bit) !== 0 ? (execute ? withExecute : without) : execute ? "x" : "-";
      return `${(bits & 4) !== 0 ? "r" : "-"}${(bits & 2) !== 0 ? "w" : "-"}${last}`;
    })
    .join("");
}
