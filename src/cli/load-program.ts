// ⚡ uses: Buffer, file system, process
/**
 * Loads what `npm run build` made of src/cli/main.ts, with what V8 compiled of it when it was built (docs/decisions/0018-code-cache.md).
 * Node keeps no compiled code between runs; without it a third of the time before a conversion begins goes into compiling.
 */
import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { Script } from "node:vm";

/** A program that was loaded. */
export interface LoadedProgram {
  /** What its file exports. */
  readonly exports: unknown;
  /** Whether compiled code was there for it. */
  readonly isCompiled: boolean;
  /** Keeps what V8 has compiled of it until now beside the file. @throws what writing throws */
  keepCode(): void;
}

const DIGEST_BYTES = 32;
const HEAD = "(function (exports, require, module, __filename, __dirname) {";

/**
 * Loads a CommonJS file, which may require what it needs, but import nothing. Code that another Node has compiled, or of another file, or that is damaged, is left out.
 * @throws what reading the file and running it throw
 */
export function loadProgram(file: string): LoadedProgram {
  const source = readFileSync(file);
  const code = readCode(file, source);
  // One byte a character where it can be: V8 takes those as they are.
  const text = source.toString(isAscii(source) ? "latin1" : "utf8");
  const script = new Script(`${HEAD}${text}\n})`, {
    filename: file,
    columnOffset: -HEAD.length,
    ...(code === undefined ? {} : { cachedData: code }),
  });
  const run = script.runInThisContext() as (...given: readonly unknown[]) => void;
  const module = { exports: {} };
  run(module.exports, createRequire(file), module, file, path.dirname(file));
  return {
    exports: module.exports,
    isCompiled: script.cachedDataRejected === false,
    keepCode: () => {
      const compiled = script.createCachedData();
      writeFileSync(codePath(file), Buffer.concat([digestOf(source, compiled), compiled]));
    },
  };
}

/** Each Node has its own. */
function codePath(file: string): string {
  return `${file}.${process.version}-${process.platform}-${process.arch}.cache`;
}

/** V8 looks at the length of the source only, and not at all at the code itself: so both have a digest. */
function readCode(file: string, source: Uint8Array): Buffer | undefined {
  let bytes;
  try {
    bytes = readFileSync(codePath(file));
  } catch {
    return undefined; // Nobody has made it, or not with this Node.
  }
  const code = bytes.subarray(DIGEST_BYTES);
  return digestOf(source, code).equals(bytes.subarray(0, DIGEST_BYTES)) ? code : undefined;
}

function digestOf(source: Uint8Array, code: Uint8Array): Buffer {
  // The length first: else bytes could move from one to the other.
  return createHash("sha256").update(`${source.length}\n`).update(source).update(code).digest();
}
