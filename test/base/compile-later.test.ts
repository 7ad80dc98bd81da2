import { execFileSync } from "node:child_process";
import type * as V8 from "node:v8";
import type { Worker } from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  compileLater,
  startThread,
  threadHasStarted,
  type ThreadStart,
} from "../../src/base/compile-later.ts";

const LATER = "--interrupt-budget=540672";
const BY_ITSELF = "--interrupt-budget=67584";

const flags: string[] = [];
vi.mock("node:v8", async (load) => ({
  ...(await load<typeof V8>()),
  setFlagsFromString: (flag: string) => flags.push(flag),
}));

const OWN = process.versions.v8;

function pretend(v8: string): void {
  Object.defineProperty(process.versions, "v8", { value: v8, configurable: true, enumerable: true });
}

/** What a thread is given, which is not started. */
function startOfThread(): ThreadStart {
  let given: ThreadStart | undefined;
  startThread((start) => {
    given = start;
    return {} as unknown as Worker;
  });
  return given!;
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
    const thread = startOfThread();
    expect(flags).not.toContain(LATER);
    threadHasStarted(thread);
    expect(flags.at(-1)).toBe(LATER);
  });

  test("what it does by itself while another one starts", () => {
    compileLater(true);
    threadHasStarted(startOfThread());
    const second = startOfThread();
    expect(flags.at(-1)).toBe(BY_ITSELF);
    threadHasStarted(second);
    expect(flags.at(-1)).toBe(LATER);
  });

  test("what it does by itself in the end", () => {
    compileLater(true);
    threadHasStarted(startOfThread());
    compileLater(false);
    expect(flags.at(-1)).toBe(BY_ITSELF);
    flags.splice(0);
    threadHasStarted(startOfThread());
    expect(flags).toEqual([]);
  });

  test("nothing where nobody wants it: the process may be another program's", () => {
    threadHasStarted(startOfThread());
    expect(flags).toEqual([]);
  });

  test.each(["12.4.254.21-node.57", "13.6.233.17-node.53", "113.1.2.3"])("nothing, of V8 %s", (v8) => {
    pretend(v8);
    compileLater(true);
    threadHasStarted(startOfThread());
    compileLater(false);
    expect(flags).toEqual([]);
  });

  test("a flag that this Node knows, and eight times what it has by itself", () => {
    pretend(OWN);
    compileLater(true);
    threadHasStarted(startOfThread());
    if (flags.length === 0) return; // Another V8.
    const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
    expect(options).toContain(`default: ${BY_ITSELF}\n`);
    expect(Number(LATER.split("=")[1])).toBe(8 * Number(BY_ITSELF.split("=")[1]));
  });
});
