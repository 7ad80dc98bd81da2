// ⚡ uses: Buffer, process, time
/** What the program says: results on stdout, everything for people on stderr. */
import { fromByteString, utf8Text, type ByteString } from "../base/bytes.ts";
import { AssertionError, EXIT_STATUS, isLambdaImgError, LambdaImgError } from "../base/error.ts";

/** Status of a broken invariant of ours (sysexits.h, EX_SOFTWARE). */
const EXIT_BUG = 70;
const STATUS_INTERVAL_MS = 100;

/** One command's output. */
export class Output {
  readonly #isJson: boolean;
  readonly #isQuiet: boolean;
  readonly #isTerminal: boolean = process.stderr.isTTY;
  #statusShownAt = 0;
  #hasStatus = false;

  constructor(options: { readonly json?: boolean; readonly quiet?: boolean }) {
    this.#isJson = options.json === true;
    this.#isQuiet = options.quiet === true;
  }

  /** The command's result: the object as one line of JSON, or the text. */
  result(json: unknown, text: () => string): void {
    this.clearStatus();
    process.stdout.write(this.#isJson ? `${JSON.stringify(json)}\n` : text());
  }

  /** A sentence for people. */
  note(text: string): void {
    if (this.#isQuiet) return;
    this.clearStatus();
    process.stderr.write(`lambda-img: ${text}\n`);
  }

  /** Something that the user should know though the command goes on. */
  warn(text: string): void {
    this.clearStatus();
    process.stderr.write(`lambda-img: warning: ${text}\n`);
  }

  /** What is being done now, on one line of a terminal that the next call replaces. */
  status(text: () => string): void {
    if (this.#isQuiet || this.#isJson || !this.#isTerminal) return;
    const now = performance.now();
    if (this.#hasStatus && now - this.#statusShownAt < STATUS_INTERVAL_MS) return;
    this.#statusShownAt = now;
    this.#hasStatus = true;
    const columns = process.stderr.columns || 80; // Some terminals do not say.
    process.stderr.write(`\r\x1b[2K${text().slice(0, Math.max(20, columns - 1))}`);
  }

  /** Takes the status line away. */
  clearStatus(): void {
    if (this.#hasStatus) process.stderr.write("\r\x1b[2K");
    this.#hasStatus = false;
  }

  /** Says what failed; returns the exit status. */
  fail(thrown: unknown): number {
    this.clearStatus();
    const error = isDirectoryGone(thrown) ? directoryGone() : thrown;
    if (!isLambdaImgError(error)) return this.#failBug(error);
    if (error.kind !== "cancelled") process.stderr.write(`lambda-img: error: ${error.message}\n`);
    return this.failSaid(error);
  }

  /** The same for a failure that people have been told of. */
  failSaid({ code, kind, message, details }: LambdaImgError): number {
    if (this.#isJson) {
      process.stderr.write(`${JSON.stringify({ type: "error", code, kind, message, details })}\n`);
    }
    return EXIT_STATUS[kind];
  }

  #failBug(error: unknown): number {
    const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const what = error instanceof AssertionError ? "a broken invariant" : "an unexpected error";
    process.stderr.write(`lambda-img: bug: ${what}; please report it with the lines below\n${shown}\n`);
    const message = error instanceof Error ? error.message : String(error);
    if (this.#isJson) {
      process.stderr.write(
        `${JSON.stringify({ type: "error", code: "BUG", kind: "bug", message, details: {} })}\n`,
      );
    }
    return EXIT_BUG;
  }
}

/** What every use of a relative path fails with where the working directory was removed: no bug of ours. */
function isDirectoryGone(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && error.syscall === "uv_cwd";
}

function directoryGone(): LambdaImgError {
  return new LambdaImgError(
    "PATH_NOT_FOUND",
    "the working directory was removed: go to another, or give absolute paths",
  );
}

/** Writes bytes to stdout; resolves when they are taken, so that a slow reader slows us. */
export function writeBytes(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Base64 (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** A member of JSON: paths are bytes, and one that is not UTF-8 goes as base64, under a name that says so. */
export function bytesJson(name: string, value: ByteString): Record<string, string> {
  const text = utf8Text(value);
  return text === undefined ? { [`${name}Base64`]: toBase64(fromByteString(value)) } : { [name]: text };
}
