// ⚡ uses: Buffer, time, process
/**
 * Programs that keep credentials: docker-credential-NAME and its protocol (docker-credential-helpers, README). `get`
 * reads a server's name and writes JSON.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";

import { throwIfCancelled } from "../base/cancel.ts";
import { errnoOf, LambdaImgError } from "../base/error.ts";
import { parseObject, stringIn } from "./_json.ts";
import { CREDENTIAL_OUTPUT_BYTES_MAX } from "./_limit.ts";

/** What to ask. */
export interface CredentialQuestion {
  /** What follows `docker-credential-`. */
  readonly program: string;
  readonly server: string;
  /** Who named the program, for messages. */
  readonly where: string;
  readonly timeoutMs?: number;
}

/** Long enough for programs that ask a cloud. */
const TIMEOUT_MS = 30_000;
/**
 * What a program has written is here sooner when it has ended. But stdout stays open for as long as a program that it has left running
 * holds it, as an agent may that keeps the keychain open.
 */
const LEFT_OPEN_MS = 500;

/**
 * Asks the program; `undefined` where it has no login for the server.
 * @throws CREDENTIALS_INVALID, CANCELLED
 */
export async function askCredentialProgram(
  question: CredentialQuestion,
  variables: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<{ readonly username: string; readonly secret: string } | undefined> {
  const { program, where } = question;
  throwIfCancelled(signal);
  // A name, never a path: a file of credentials does not get to say what is run from where.
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(program)) throw invalid(where, "no name of a credential program");
  const { status, output } = await run(question, variables, signal);
  throwIfCancelled(signal);
  const text = output.trim();
  if (status !== 0) {
    if (/credentials not found/i.test(text)) return undefined;
    // Programs say on stdout what is wrong. Where it could be the answer itself, it is not shown.
    const said = text.includes("{") ? "" : `: ${text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 200)}`;
    throw invalid(where, `docker-credential-${program} failed (status ${status})${said}`);
  }
  const answer = parseObject(text);
  const username = answer === undefined ? undefined : stringIn(answer, "Username");
  const secret = answer === undefined ? undefined : stringIn(answer, "Secret");
  if (username === undefined || secret === undefined) {
    throw invalid(where, `docker-credential-${program} did not answer with Username and Secret`);
  }
  return username === "" && secret === "" ? undefined : { username, secret };
}

interface Outcome {
  readonly status: number;
  readonly output: string;
}

function run(
  question: CredentialQuestion,
  variables: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const { program, where } = question;
  const name = `docker-credential-${program}`;
  return new Promise((resolve, reject) => {
    const child = start(name, { variables, where });
    let leftOpen: NodeJS.Timeout | undefined;
    const settle = (): void => {
      clearTimeout(timer);
      clearTimeout(leftOpen);
      signal?.removeEventListener("abort", onAbort);
    };
    const stop = (error: LambdaImgError): void => {
      settle();
      reject(error);
      end(child);
    };
    const timeoutMs = question.timeoutMs ?? TIMEOUT_MS;
    const timer = setTimeout(() => {
      stop(invalid(where, `${name} did not answer for ${timeoutMs / 1000} s`));
    }, timeoutMs);
    const onAbort = (): void => {
      stop(new LambdaImgError("CANCELLED", "cancelled", { cause: signal?.reason }));
    };
    signal?.addEventListener("abort", onAbort);
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    child.stdout.on("data", (piece: Uint8Array) => {
      sizeBytes += piece.length;
      if (sizeBytes > CREDENTIAL_OUTPUT_BYTES_MAX) stop(invalid(where, `${name} prints too much`));
      else pieces.push(piece);
    });
    child.on("error", (error) => {
      settle();
      reject(startError(error, name, where));
    });
    const answer = (status: number | null): void => {
      settle();
      resolve({ status: status ?? -1, output: Buffer.concat(pieces).toString("utf8") });
    };
    child.on("close", answer);
    child.on("exit", (status) => {
      leftOpen = setTimeout(() => {
        answer(status);
        end(child);
      }, LEFT_OPEN_MS);
    });
    // A program that does not read its input is heard by what it answers.
    child.stdin.on("error", () => undefined);
    child.stdin.end(`${question.server}\n`);
  });
}

function start(
  name: string,
  from: { readonly variables: Readonly<Record<string, string | undefined>>; readonly where: string },
): ChildProcessByStdio<Writable, Readable, null> {
  try {
    return spawn(name, ["get"], {
      env: { ...from.variables },
      shell: false,
      stdio: ["pipe", "pipe", "ignore"],
      windowsHide: true,
    });
  } catch (error) {
    // Of a few failures node tells by an event, of the others (ELOOP, ENOMEM) at once.
    throw startError(error, name, from.where);
  }
}

function startError(error: unknown, name: string, where: string): LambdaImgError {
  const errno = errnoOf(error);
  return invalid(where, `${name} ${errno === "ENOENT" ? "is not installed" : `cannot be run (${errno})`}`);
}

/** Ends it, and lets go of its pipes: its own children may hold them. */
function end(child: ChildProcess): void {
  child.kill("SIGKILL");
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.unref();
}

function invalid(where: string, why: string): LambdaImgError {
  return new LambdaImgError("CREDENTIALS_INVALID", `credentials: ${where}: ${why}`);
}
