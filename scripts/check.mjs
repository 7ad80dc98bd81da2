/** What `npm run check` runs, all at once: each is one process that leaves the other processors idle. Prints what failed. */
import { spawn } from "node:child_process";

const CHECKS = ["typecheck", "lint", "format:check", "test:tidy"];

const failed = (await Promise.all(CHECKS.map(async (name) => ({ name, isGood: await check(name) }))))
  .filter(({ isGood }) => !isGood)
  .map(({ name }) => name);
if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** Output is kept until its end, so that no two are mixed. */
function check(name) {
  return new Promise((resolve) => {
    const child = spawn("npm", ["run", "--silent", name], { stdio: ["ignore", "pipe", "pipe"] });
    const output = [];
    child.stdout.on("data", (bytes) => output.push(bytes));
    child.stderr.on("data", (bytes) => output.push(bytes));
    child.on("error", (error) => output.push(Buffer.from(`${error.message}\n`)));
    child.on("close", (status) => {
      process.stdout.write(Buffer.concat(output));
      resolve(status === 0);
    });
  });
}
