import { readFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, isBuilt } from "../support/cli-run.ts";

const TOP = path.resolve(import.meta.dirname, "../..");

describe.skipIf(!isBuilt)("README.md (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(() => {
    home = new CliHome();
  });
  afterAll(() => {
    home.remove();
  });

  test("tells what a conversion of the sample image prints", async () => {
    const { stdout } = await home.run(["convert", `oci:${path.join(TOP, "fixtures/images/sample")}`]);
    const lines = stdout.split("\n").filter((line) => /^ {2}(source|disk|chunks) /.test(line));
    expect(lines).toHaveLength(3);
    expect(readFileSync(path.join(TOP, "README.md"), "utf8")).toContain(lines.join("\n"));
  });
});
