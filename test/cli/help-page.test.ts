// ⚡ uses: process
/** The generated pages are fresh. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const top = fileURLToPath(new URL("../..", import.meta.url));

test("docs/cli-help.md is what the program says now", () => {
  const run = spawnSync(process.execPath, ["scripts/docs.mjs", "--check"], { cwd: top, encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.status).toBe(0);
});

test.each(["", "convert", "verify"])("`%s --help` says what -h says", (command) => {
  const words = command === "" ? [] : [command];
  const [page, program] = ["--help", "-h"].map((option) =>
    spawnSync(process.execPath, ["bin/lambda-img", ...words, option], { cwd: top, encoding: "utf8" }),
  );
  expect(program?.stdout).toContain("Usage: lambda-img");
  expect([page?.stdout, page?.stderr, page?.status]).toEqual([program?.stdout, "", 0]);
});
