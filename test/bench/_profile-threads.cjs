// Loaded before convert by `npm run bench:profile` (--require, so in each thread): says which kernel thread is which. A
// line of JSON each in the file that LAMBDA_IMG_BENCH_THREADS names. Where there is no /proc it says nothing.
"use strict";
const { appendFileSync, existsSync, readdirSync, readlink, readlinkSync } = require("node:fs");
const path = require("node:path");
const { isMainThread, threadId } = require("node:worker_threads");

const SELF = "/proc/thread-self";
if (existsSync(SELF)) {
  const own = {
    role: isMainThread ? "main" : `worker ${threadId}`,
    ids: [path.basename(readlinkSync(SELF))],
  };
  const lines = isMainThread ? [own, { role: "pool", ids: startPool() }] : [own];
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  appendFileSync(process.env.LAMBDA_IMG_BENCH_THREADS, text);
}

/** libuv starts all threads of its pool with the first call that needs one; nothing has before a preloaded script. */
function startPool() {
  const list = () => readdirSync("/proc/self/task");
  const before = new Set(list());
  readlink(SELF, () => undefined);
  return list().filter((id) => !before.has(id));
}
