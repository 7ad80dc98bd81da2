// Loaded into `lambda-img serve` by NODE_OPTIONS=--import, for `npm run bench:device` alone: every file of the store that
// is opened to be read is opened late, as an origin beyond a network would give it, and is noted, a line each.
//   LAMBDA_BENCH_STORE     the store; other files are left alone
//   LAMBDA_BENCH_DELAY_MS  how late; any number of files at once are late for no longer than one
//   LAMBDA_BENCH_LOG       where the lines go
import { appendFileSync, constants, promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

const store = process.env.LAMBDA_BENCH_STORE;
const delayMs = Number(process.env.LAMBDA_BENCH_DELAY_MS);
const log = process.env.LAMBDA_BENCH_LOG;

// The environment reaches programs that the server's parents start, too.
if (store !== undefined && log !== undefined && process.argv[2] === "serve") delayOpen();

function delayOpen() {
  const { open } = promises;
  promises.open = async (file, flags, ...more) => {
    const isRead = flags === undefined || flags === "r" || isReadOnly(flags);
    if (isRead && String(file).startsWith(store + path.sep)) {
      appendFileSync(log, `${path.relative(store, String(file))}\n`);
      if (delayMs > 0) await new Promise((done) => setTimeout(done, delayMs));
    }
    return open(file, flags, ...more);
  };
  // What was imported by name from node:fs/promises is this one from now on.
  syncBuiltinESMExports();
}

function isReadOnly(flags) {
  return typeof flags === "number" && (flags & (constants.O_WRONLY | constants.O_RDWR)) === 0;
}
