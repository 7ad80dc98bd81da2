/** Chunks that were damaged in the store, and conversions of images that have them. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, writeApp } from "./_images.ts";

describe.skipIf(!isBuilt)("lambda-img convert (needs npm run build)", () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
    writeApp(home.path);
  });
  afterEach(() => {
    home.remove();
  });

  test("mends chunks that were damaged: those it needs by itself, all of them with --no-reuse", async () => {
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
    const sound = jsonOf(await home.run(["verify", "app", "--no-ext2fs", "--json"]));
    for (const name of readdirSync(home.storePath, { recursive: true, encoding: "utf8" })) {
      if (!/chunks\/..\/./.test(name)) continue;
      const bytes = readFileSync(path.join(home.storePath, name));
      bytes[77]! ^= 1;
      writeFileSync(path.join(home.storePath, name), bytes);
    }
    // Its lower layer is known, and one of that layer's chunks has to be read to zero in it what is hidden.
    const upper = tarBuilder().file(".wh.gone").file("more", "of it").end();
    writeLayout(path.join(home.path, "next"), [{ layers: [{ tar: LOWER }, { tar: upper }] }]);
    const next = await home.run(["convert", "oci:next", "--json"]);
    expect(next.stderr).toMatch(
      /^lambda-img: warning: chunk [0-9a-f]{64}: digest mismatch: .*; reading all layers to mend it\n$/,
    );
    expect(jsonOf(next)["layers"]).toEqual({ total: 2, reused: 0 });
    expect((await home.run(["verify", "next", "--no-ext2fs"])).status).toBe(0);
    expect((await home.run(["verify", "app", "--no-ext2fs"])).status).toBe(6);
    // What is known is not looked at: that would cost reading all of it.
    expect(jsonOf(await home.run(["convert", "oci:app", "--json"]))["chunks"]).toMatchObject({ new: 0 });
    expect((await home.run(["verify", "app", "--no-ext2fs"])).status).toBe(6);
    const mended = jsonOf(await home.run(["convert", "oci:app", "--no-reuse", "--json"]));
    expect((mended["chunks"] as { new: number }).new).toBeGreaterThan(0);
    const again = jsonOf(await home.run(["convert", "oci:app", "--no-reuse", "--json"]));
    expect(again["chunks"]).toMatchObject({ new: 0, kept: 0 });
    expect(jsonOf(await home.run(["verify", "app", "--no-ext2fs", "--json"]))).toEqual(sound);
  });
});
