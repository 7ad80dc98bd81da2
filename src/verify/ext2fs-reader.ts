// ⚡ uses: process
/**
 * A program of its own, started by ext2fs-witness.ts: walks an image's disk with libext2fs and prints what it
 * sees, a line of JSON for each path. Arguments: store, manifest id; the customer key comes on stdin.
 */
import { asByteString, compareByteStrings, showByteString, type ByteString } from "../base/bytes.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { customerIdOf, parseCustomerKey } from "../crypto/customer-key.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import { ImageDevice } from "../device/image-device.ts";
import { parseManifestId } from "../manifest/manifest-id.ts";
import { DirectoryStore } from "../store/directory-store.ts";
import { ContentDigestBuilder } from "./content-digest.ts";
import { Ext2fsMount, type Ext2fsDisk, type Ext2fsFile } from "./_ext2fs-library.ts";
import { encodeRecord, type Ext2fsPath, type Ext2fsRecord } from "./_ext2fs-record.ts";
import type { FileType } from "./file-tree.ts";

/** Chunks kept open: the library reads in the order of names, and 4096 bytes at a time. */
const OPEN_CHUNKS_MAX = 128;
/** A file with more bytes in holes is not read: the library gives every zero of them. */
const HOLE_BYTES_MAX: number = 2 ** 28;
const SECTOR_BYTES = 512;
const KEPT_CHARACTERS_MAX = 65536;
const ALIVE_EVERY_BYTES: number = 64 * 2 ** 20;

// The high bits of i_mode (ext4 "Index Nodes").
const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0x1000, "fifo"],
  [0x2000, "char"],
  [0x4000, "dir"],
  [0x6000, "block"],
  [0x8000, "file"],
  [0xa000, "symlink"],
  [0xc000, "socket"],
]);

/** The content of a file, or that it has none worth reading. */
type Content = Pick<Ext2fsPath, "content" | "readBytes">;

/** Walks a mounted disk image, names of each directory in byte order. */
class Walk {
  readonly #mount: Ext2fsMount;
  readonly #say: (record: Ext2fsRecord) => Promise<void>;
  /** Of files with more than one name, so that each is read once. */
  readonly #contents: Map<number, Content> = new Map();

  constructor(mount: Ext2fsMount, say: (record: Ext2fsRecord) => Promise<void>) {
    this.#mount = mount;
    this.#say = say;
  }

  /** Resolves to the number of paths. */
  async run(): Promise<number> {
    let pathCount = 0;
    const todo = [asByteString("/")];
    for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
      pathCount++;
      const names = await this.#namesBelow(path);
      names.sort((left, right) => compareByteStrings(right, left));
      for (const name of names) todo.push(asByteString(path === "/" ? `/${name}` : `${path}/${name}`));
    }
    return pathCount;
  }

  /** Says what is at the path; the names in it, if it is a directory. */
  async #namesBelow(path: ByteString): Promise<ByteString[]> {
    try {
      return (await this.#visit(path)) === "dir" ? await this.#mount.list(path) : [];
    } catch (error) {
      throw new Error(`${showByteString(path)}: ${messageOf(error)}`, { cause: error });
    }
  }

  async #visit(path: ByteString): Promise<FileType> {
    const file = await this.#mount.open(path);
    let content: Content = {};
    const type = TYPES.get(file.mode & 0xf000);
    if (type === undefined) throw new Error(`mode ${file.mode.toString(8)}: of no known type`);
    try {
      if (type === "file") content = await this.#contentOf(file);
    } finally {
      await this.#mount.close(file);
    }
    await this.#say({
      kind: "path",
      path,
      type,
      mode: file.mode & 0o7777,
      uid: file.uid,
      gid: file.gid,
      mtimeLow: file.mtimeLow,
      linkCount: file.linkCount,
      inodeNumber: file.inodeNumber,
      sizeLow: file.sizeLow,
      ...content,
      ...(type === "symlink" ? { linkTarget: await this.#mount.readLink(path) } : {}),
    });
    return type;
  }

  async #contentOf(file: Ext2fsFile): Promise<Content> {
    const known = this.#contents.get(file.inodeNumber);
    if (known !== undefined) return known;
    const content = await this.#readContent(file);
    if (file.linkCount > 1) this.#contents.set(file.inodeNumber, content);
    return content;
  }

  async #readContent(file: Ext2fsFile): Promise<Content> {
    const digest = new ContentDigestBuilder();
    let readBytes = 0;
    let sayAt = ALIVE_EVERY_BYTES;
    const readBytesMax = file.sectorCountLow * SECTOR_BYTES + HOLE_BYTES_MAX;
    await this.#mount.read(file, async (piece) => {
      digest.add(readBytes, piece);
      readBytes += piece.length;
      if (readBytes >= sayAt) {
        sayAt += ALIVE_EVERY_BYTES;
        await this.#say({ kind: "alive" });
      }
      return readBytes <= readBytesMax;
    });
    return readBytes > readBytesMax ? {} : { content: digest.finish(readBytes), readBytes };
  }
}

/** Reads through the chunks of an image; what fails is kept, since the library says of any failure "no such file". */
class ChunkDisk implements Ext2fsDisk {
  failure: unknown;
  readonly #device: ImageDevice;
  /** By chunk index, zero chunks as `null`; the first is the one used longest ago. */
  readonly #open: Map<number, Uint8Array | null> = new Map();

  constructor(device: ImageDevice) {
    this.#device = device;
  }

  async read(buffer: Uint8Array, bufferOffset: number, sizeBytes: number, diskOffset: number): Promise<void> {
    for (let done = 0; done < sizeBytes;) {
      const chunkIndex = Math.floor((diskOffset + done) / CHUNK_BYTES);
      const within = diskOffset + done - chunkIndex * CHUNK_BYTES;
      const partBytes = Math.min(sizeBytes - done, CHUNK_BYTES - within);
      const at = bufferOffset + done;
      const chunk = this.#open.get(chunkIndex) ?? (await this.#load(chunkIndex));
      if (chunk === null) buffer.fill(0, at, at + partBytes);
      else buffer.set(chunk.subarray(within, within + partBytes), at);
      done += partBytes;
    }
  }

  write(): Promise<void> {
    return this.#refuse("it writes");
  }

  discard(): Promise<void> {
    return this.#refuse("it discards");
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  async #load(chunkIndex: number): Promise<Uint8Array | null> {
    try {
      const chunk = (await this.#device.readChunk(chunkIndex)) ?? null;
      if (this.#open.size >= OPEN_CHUNKS_MAX) this.#open.delete(this.#open.keys().next().value ?? 0);
      this.#open.set(chunkIndex, chunk);
      return chunk;
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }

  #refuse(what: string): Promise<void> {
    this.failure ??= new Error(`${what} on a read-only disk image`);
    return Promise.reject(new Error(what));
  }
}

async function main(): Promise<void> {
  const [storePath = "", manifestText = ""] = process.argv.slice(2);
  const lines = new Lines();
  const store = await DirectoryStore.open(storePath, { create: false });
  try {
    const key = parseCustomerKey((await readStdin()).trim());
    const manifestId = parseManifestId(manifestText);
    if (key === undefined || manifestId === undefined) throw new Error("not started by verify");
    const content = openManifest(await store.getManifest(customerIdOf(key), manifestId), key);
    const disk = new ChunkDisk(new ImageDevice(store, content));
    try {
      const mount = await Ext2fsMount.open(disk);
      const pathCount = await new Walk(mount, (record) => lines.add(record)).run();
      const { failure } = disk;
      await lines.add(failure === undefined ? { kind: "end", pathCount } : failed(failure));
    } catch (error) {
      // What the disk said is nearer to the cause than what the library made of it.
      await lines.add(failed(disk.failure ?? error));
    }
  } finally {
    await store.close();
  }
  await lines.flush();
}

/** Lines of output, written some at a time; whoever reads slowly slows the walk. */
class Lines {
  #kept = "";

  async add(record: Ext2fsRecord): Promise<void> {
    this.#kept += `${encodeRecord(record)}\n`;
    if (record.kind === "alive" || this.#kept.length >= KEPT_CHARACTERS_MAX) await this.flush();
  }

  flush(): Promise<void> {
    const text = this.#kept;
    this.#kept = "";
    return new Promise((resolve, reject) => {
      process.stdout.write(text, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

async function readStdin(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("latin1");
  for await (const piece of process.stdin) text += String(piece);
  return text;
}

function failed(error: unknown): Ext2fsRecord {
  return { kind: "failed", message: messageOf(error) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

void main();
