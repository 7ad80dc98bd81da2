// ⚡ uses: Buffer, file system, process
/**
 * Loads what `npm run build` made of src/cli/main.ts, with what V8 compiled of it when it was built (docs/decisions/0018-code-cache.md).
 * Node 20 keeps no compiled code between runs, and a short command takes a fifth more without it.
 */
import { isAscii } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { Script } from "node:vm";

import { concatBytes, equalBytes } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";

/** A program that was loaded. */
export interface LoadedProgram {
  /** What its file exports. */
  readonly exports: unknown;
  /** Whether compiled code was there for it. */
  readonly isCompiled: boolean;
  /** Keeps what V8 has compiled of it until now beside the file. @throws what writing throws */
  keepCode(): void;
}

/** Before the code: the SHA-256 of the source, and that of the code. */
const DIGESTS_BYTES = 64;
const HEAD = "(function (exports, require, module, __filename, __dirname) {";

/**
 * Loads a CommonJS file, which may require what it needs, but import nothing. Code that another Node has compiled, or of another
 * file, or that is damaged, is left out.
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
      writeFileSync(codePath(file), concatBytes(digestsOf(source, compiled), compiled));
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
  const code = bytes.subarray(DIGESTS_BYTES);
  return equalBytes(digestsOf(source, code), bytes.subarray(0, DIGESTS_BYTES)) ? code : undefined;
}

function digestsOf(source: Uint8Array, code: Uint8Array): Uint8Array {
  return concatBytes(sha256(source), sha256(code));
}
