import { execFileSync } from "node:child_process";
import type * as V8 from "node:v8";
import type * as Threads from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { compileLater, startThread, threadHasStarted } from "../../src/base/compile-later.ts";

const LATER = "--interrupt-budget=540672";
const BY_ITSELF = "--interrupt-budget=67584";

const flags: string[] = [];
vi.mock("node:v8", async (load) => ({
  ...(await load<typeof V8>()),
  setFlagsFromString: (flag: string) => flags.push(flag),
}));

/** A thread that is started by nobody, and what it is given. */
const thread = vi.hoisted((): { given: unknown } => ({ given: undefined }));
vi.mock("node:worker_threads", async (load) => ({
  ...(await load<typeof Threads>()),
  get workerData(): unknown {
    return thread.given;
  },
  Worker: class {
    readonly threadId = -1;

    constructor(_program: URL, { workerData }: Threads.WorkerOptions) {
      thread.given = workerData;
    }
  },
}));

const OWN = process.versions.v8;

function pretend(v8: string): void {
  Object.defineProperty(process.versions, "v8", { value: v8, configurable: true, enumerable: true });
}

function start(): void {
  startThread(new URL("file:///program.js"));
}

beforeEach(() => {
  pretend("11.3.244.8-node.33");
});

afterEach(() => {
  compileLater(false);
  flags.splice(0);
  pretend(OWN);
});

describe("what V8 is told", () => {
  test("nothing until a thread has started", () => {
    compileLater(true);
    start();
    expect(flags).not.toContain(LATER);
    threadHasStarted();
    expect(flags.at(-1)).toBe(LATER);
  });

  test("what it does by itself while another one starts", () => {
    compileLater(true);
    start();
    threadHasStarted();
    start();
    expect(flags.at(-1)).toBe(BY_ITSELF);
    threadHasStarted();
    expect(flags.at(-1)).toBe(LATER);
  });

  test("what it does by itself in the end", () => {
    compileLater(true);
    start();
    threadHasStarted();
    compileLater(false);
    expect(flags.at(-1)).toBe(BY_ITSELF);
    flags.splice(0);
    start();
    threadHasStarted();
    expect(flags).toEqual([]);
  });

  test("nothing where nobody wants it: the process may be another program's", () => {
    start();
    threadHasStarted();
    expect(flags).toEqual([]);
  });

  test.each(["12.4.254.21-node.57", "13.6.233.17-node.53", "113.1.2.3"])("nothing, of V8 %s", (v8) => {
    pretend(v8);
    compileLater(true);
    start();
    threadHasStarted();
    compileLater(false);
    expect(flags).toEqual([]);
  });

  test("a flag that this Node knows, and eight times what it has by itself", () => {
    pretend(OWN);
    compileLater(true);
    start();
    threadHasStarted();
    if (flags.length === 0) return; // Another V8.
    const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
    expect(options).toContain(`default: ${BY_ITSELF}\n`);
    expect(Number(LATER.split("=")[1])).toBe(8 * Number(BY_ITSELF.split("=")[1]));
  });
});
