// ⚡ uses: Buffer, process
/**
 * The package ext2fs (libext2fs as WebAssembly) as far as it is needed, below its imitation of node:fs: that one
 * cannot give names as bytes and asks for every number of an inode each time. For a process of its own only:
 * the package aborts where its 16 MiB are full and catches what nobody else does.
 */
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";

import { asByteString, fromByteString, toByteString, type ByteString } from "../base/bytes.ts";

/** What the library reads a disk image through; it asks for 4096 bytes at a time. */
export interface Ext2fsDisk {
  read(buffer: Uint8Array, bufferOffset: number, sizeBytes: number, diskOffset: number): Promise<void>;
  write(): Promise<void>;
  discard(): Promise<void>;
  flush(): Promise<void>;
}

/** An open file; numbers as the library gives them. */
export interface Ext2fsFile {
  readonly fd: number;
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeLow: number;
  readonly linkCount: number;
  readonly inodeNumber: number;
  readonly sizeLow: number;
  /** Room on the disk, in units of 512 bytes. */
  readonly sectorCountLow: number;
}

type Numbers = (...numbers: number[]) => Promise<number>;

/** lib/binding.js: functions of the library. Each gives a number, or throws one that is below zero. */
type Binding = Readonly<
  Record<
    | "open"
    | "close"
    | "readdir"
    | "read"
    | "readlink"
    | "stat_ino"
    | "stat_i_mode"
    | "stat_i_links_count"
    | "stat_i_uid"
    | "stat_i_gid"
    | "stat_i_size"
    | "stat_i_blocks"
    | "stat_i_mtime",
    Numbers
  >
>;

/** lib/util.js: what a call takes of the library's memory, given back after it. */
interface Scope {
  readonly withHooks: <Arguments extends unknown[], T>(
    work: (...given: Arguments) => Promise<T>,
  ) => (...given: Arguments) => Promise<T>;
  readonly usePath: (path: Uint8Array) => Promise<number>;
  readonly useObject: <T>(value: T) => Promise<[T, number]>;
  readonly useBuffer: (sizeBytes: number) => Promise<[Buffer, number]>;
}

interface Package {
  readonly mount: (disk: Ext2fsDisk, offset: number) => Promise<{ readonly fsPointer: number }>;
}

// As Linux numbers them (asm-generic/fcntl.h). Without the first, reading a file writes its inode.
const O_NOATIME = 0o1000000;
const O_NOFOLLOW = 0o400000;
const FLAGS = O_NOATIME | O_NOFOLLOW;
const READ_FROM_CURRENT = -1;
/** Single reads of some 12 MB abort the process. */
const READ_BYTES_MAX = 1024 * 1024;
const READ_BYTES_MIN = 64 * 1024;
/** Every listing of a directory loses some 12 KiB of the library's 16 MiB. */
const LISTINGS_MAX = 400;
const SECTOR_BYTES = 512;

/** A mounted disk image, read-only. */
export class Ext2fsMount {
  readonly #disk: Ext2fsDisk;
  #library: Library;
  #listingCount = 0;

  static async open(disk: Ext2fsDisk): Promise<Ext2fsMount> {
    return new Ext2fsMount(disk, await Library.load(disk));
  }

  private constructor(disk: Ext2fsDisk, library: Library) {
    this.#disk = disk;
    this.#library = library;
  }

  /** Opens a path without following the symlink that it may end in. Close it before anything else is opened. */
  open(path: ByteString): Promise<Ext2fsFile> {
    return this.#library.open(path);
  }

  /** Gives the file from its start, piece by piece, to its end or until `onPiece` says false. A piece is valid during the call only. */
  read(file: Ext2fsFile, onPiece: (piece: Uint8Array) => Promise<boolean>): Promise<void> {
    return this.#library.read(file, onPiece);
  }

  close(file: Ext2fsFile): Promise<void> {
    return this.#library.close(file.fd);
  }

  readLink(path: ByteString): Promise<ByteString> {
    return this.#library.readLink(path);
  }

  /** The names in a directory, without `.` and `..`. No file may be open. */
  async list(path: ByteString): Promise<ByteString[]> {
    this.#listingCount++;
    // Memory that the library has lost comes back with a fresh one.
    if (this.#listingCount % LISTINGS_MAX === 0) this.#library = await Library.load(this.#disk);
    return this.#library.list(path);
  }
}

/** One instance of the library with the disk image mounted. */
class Library {
  readonly #binding: Binding;
  readonly #open: (path: Uint8Array) => Promise<number>;
  readonly #list: (path: Uint8Array) => Promise<Buffer[]>;
  readonly #readLink: (path: Uint8Array) => Promise<Buffer[]>;
  readonly #scope: Scope;

  static async load(disk: Ext2fsDisk): Promise<Library> {
    const require = createRequire(import.meta.url);
    const packageDirectory = dirname(require.resolve("ext2fs")) + sep;
    for (const path of Object.keys(require.cache)) {
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the only way to a second instance
      if (path.startsWith(packageDirectory)) delete require.cache[path];
    }
    const { mount } = require("ext2fs") as Package;
    const binding = require("ext2fs/lib/binding.js") as Binding;
    const scope = require("ext2fs/lib/util.js") as Scope;
    // The library's handlers would keep its memory for ever, and hide where an error came from.
    for (const event of ["uncaughtException", "unhandledRejection"]) process.removeAllListeners(event);
    const { fsPointer } = await mount(disk, 0);
    return new Library(binding, scope, fsPointer);
  }

  private constructor(binding: Binding, scope: Scope, fsPointer: number) {
    const { withHooks, usePath, useObject } = scope;
    this.#binding = binding;
    this.#scope = scope;
    this.#open = withHooks(async (path) => binding.open(fsPointer, await usePath(path), FLAGS, 0));
    this.#list = withHooks(async (path) => {
      const pathPointer = await usePath(path);
      const [names, namesNumber] = await useObject<Buffer[]>([]);
      await binding.readdir(fsPointer, pathPointer, namesNumber);
      return names;
    });
    this.#readLink = withHooks(async (path) => {
      const pathPointer = await usePath(path);
      const [targets, targetsNumber] = await useObject<Buffer[]>([]);
      await binding.readlink(fsPointer, pathPointer, targetsNumber);
      return targets;
    });
  }

  async open(path: ByteString): Promise<Ext2fsFile> {
    const binding = this.#binding;
    const fd = await this.#open(bytesOf(path));
    return {
      fd,
      mode: await unsigned(binding.stat_i_mode(fd)),
      uid: await unsigned(binding.stat_i_uid(fd)),
      gid: await unsigned(binding.stat_i_gid(fd)),
      mtimeLow: await unsigned(binding.stat_i_mtime(fd)),
      linkCount: await unsigned(binding.stat_i_links_count(fd)),
      inodeNumber: await unsigned(binding.stat_ino(fd)),
      sizeLow: await unsigned(binding.stat_i_size(fd)),
      sectorCountLow: await unsigned(binding.stat_i_blocks(fd)),
    };
  }

  async read(file: Ext2fsFile, onPiece: (piece: Uint8Array) => Promise<boolean>): Promise<void> {
    const { withHooks, useBuffer } = this.#scope;
    const binding = this.#binding;
    // Small files are the rule: they need no mebibyte each. But sizes have their low 32 bits only.
    const hintBytes = Math.max(file.sizeLow, file.sectorCountLow * SECTOR_BYTES, READ_BYTES_MIN);
    const readAll = withHooks(async () => {
      const roomBytes = Math.min(hintBytes, READ_BYTES_MAX);
      const [room, pointer] = await useBuffer(roomBytes);
      for (;;) {
        const readBytes = await binding.read(file.fd, FLAGS, pointer, roomBytes, READ_FROM_CURRENT);
        if (readBytes === 0 || !(await onPiece(room.subarray(0, readBytes)))) return;
      }
    });
    await readAll();
  }

  async close(fd: number): Promise<void> {
    await this.#binding.close(fd);
  }

  async readLink(path: ByteString): Promise<ByteString> {
    const [target] = await this.#readLink(bytesOf(path));
    return target === undefined ? asByteString("") : toByteString(target);
  }

  async list(path: ByteString): Promise<ByteString[]> {
    const names = await this.#list(bytesOf(path));
    return names.map(toByteString).filter((name) => name !== "." && name !== "..");
  }
}

/** The package adds the final NUL itself and takes slashes at the end away. */
function bytesOf(path: ByteString): Uint8Array {
  return Buffer.from(fromByteString(path));
}

/** A number of 32 bits that the package takes for an error where its highest bit is set. */
async function unsigned(call: Promise<number>): Promise<number> {
  try {
    return (await call) >>> 0;
  } catch (error) {
    if (!(error instanceof Error) || !("errno" in error) || typeof error.errno !== "number") throw error;
    return -error.errno >>> 0;
  }
}
