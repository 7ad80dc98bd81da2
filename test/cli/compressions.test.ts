/** Layers in every compression by the built program: what decompresses them is loaded by it, and by a thread of its own. */
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { hasCommand, writeLayout } from "../support/oci-layout.ts";
import { incompressibleTar } from "../support/tar-builder.ts";

/** More than is left to the main thread. */
const LAYER_BYTES = 5_000_000;

describe.skipIf(!isBuilt)("lambda-img convert (needs npm run build)", () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
  });
  afterEach(() => {
    home.remove();
  });

  test.for(["gzip", "zstd"] as const)(
    "makes of a layer in %s what it makes of the plain one, in one thread and in several",
    async (compression, { skip }) => {
      if (compression === "zstd" && !hasCommand("zstd")) skip("no zstd");
      const tar = incompressibleTar(LAYER_BYTES);
      writeLayout(path.join(home.path, "plain"), [{ layers: [{ tar, compression: "none" }] }]);
      writeLayout(path.join(home.path, "packed"), [{ layers: [{ tar, compression }] }]);
      const { disk } = jsonOf(await home.run(["convert", "oci:plain", "--json"]));
      for (const jobs of ["1", "2"]) {
        const args = ["convert", "oci:packed", "--jobs", jobs, "--no-reuse", "--json"];
        const found = jsonOf(await home.run(args));
        expect(found).toMatchObject({ disk, layers: { total: 1, reused: 0 } });
      }
    },
  );
});
