import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { digestOf } from "../support/oci-layout.ts";
import { LOWER, SECRET, UPPER, writeApp } from "./_images.ts";

describe.skipIf(!isBuilt)("lambda-img images and inspect (needs npm run build)", () => {
  let home: CliHome;
  let converted: Record<string, unknown>;
  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    converted = jsonOf(await home.run(["convert", "oci:app", "--json"]));
    jsonOf(await home.run(["convert", "oci:app", "--name", "Another/name:1", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });

  test("images lists names in byte order", async () => {
    const { images } = jsonOf(await home.run(["images", "--json"])) as { images: Record<string, unknown>[] };
    expect(images.map(({ name }) => name)).toEqual(["Another/name:1", "app"]);
    const { unique } = converted["chunks"] as { unique: number };
    expect(images[1]).toEqual({
      name: "app",
      manifest: converted["manifest"],
      sizeBytes: (converted["disk"] as { sizeBytes: number }).sizeBytes,
      storedBytes: unique * 524_288,
      sourceDigest: converted["sourceDigest"],
    });
    const { stdout } = await home.run(["images"]);
    expect(stdout.split("\n").map((line) => line.split(/ +/)[0])).toEqual([
      "NAME",
      "Another/name:1",
      "app",
      "",
    ]);
  });

  test("inspect says what the manifest says, by name and by manifest id", async () => {
    const json = jsonOf(await home.run(["inspect", "app", "--json"]));
    expect(json).toMatchObject({
      ...{ command: "inspect", image: "app", manifest: converted["manifest"], platform: "linux/amd64" },
      ...{ sourceDigest: converted["sourceDigest"], disk: converted["disk"] },
      layers: [digestOf(LOWER), digestOf(UPPER)],
      config: { env: [SECRET], cmd: ["/tool"], user: "7", workingDir: "/etc", labels: {} },
      options: { sizeRequest: "auto" },
    });
    const { unique, zero, total } = converted["chunks"] as Record<string, number>;
    expect(json["chunks"]).toEqual({ unique, zero, total });
    const byManifest = jsonOf(await home.run(["inspect", converted["manifest"] as string, "--json"]));
    expect(byManifest).toEqual({ ...json, image: converted["manifest"] });
    const { stdout } = await home.run(["inspect", "app"]);
    expect(stdout).toContain(SECRET);
    expect(stdout).toMatch(/^image +app\nmanifest +sha256:/);
  });
});
