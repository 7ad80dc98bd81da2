import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { writeApp } from "./_images.ts";

describe.skipIf(!isBuilt)("lambda-img ls and cat (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });

  test("ls prints names in byte order, safe for a terminal", async () => {
    const { status, stdout } = await home.run(["ls", "app"]);
    expect([status, stdout]).toEqual([0, "etc\nmotd\nname-\\xff\nnull\ntool\n"]);
  });

  test("ls -l and -R print the rest", async () => {
    const { stdout } = await home.run(["ls", "app", "-l", "-R"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.find((line) => line.endsWith("Z etc/motd"))).toMatch(
      /^-rw-r----- +7:8 +6 2020-09-13T12:26:41Z etc\/motd$/,
    );
    expect(lines.find((line) => line.endsWith(" null"))).toMatch(/^crw-rw-rw- +0:0 +1,3 /);
    expect(lines.find((line) => line.endsWith(" tool"))).toMatch(/^-rwsr-sr-x /);
    expect(lines.find((line) => line.includes(" motd -> "))).toMatch(/^lrwxrwxrwx .* 1970-01-01T00:00:05Z /);
  });

  test("ls --json gives every field; names that are no UTF-8 in base64", async () => {
    const json = jsonOf(await home.run(["ls", "app", "/", "--json"])) as {
      entries: Record<string, unknown>[];
    };
    expect(json).toMatchObject({
      command: "ls",
      image: "app",
      path: "/",
      chunksRead: expect.any(Number) as number,
    });
    expect(json.entries[2]).toMatchObject({
      pathBase64: Buffer.from("name-\xff", "latin1").toString("base64"),
      sizeBytes: 3,
    });
    expect(json.entries[3]).toMatchObject({ path: "null", type: "char", device: [1, 3], mode: "0666" });
    const etc = jsonOf(await home.run(["ls", "app", "/etc", "--json"])) as {
      entries: Record<string, unknown>[];
    };
    expect(etc.entries.map(({ path, links }) => [path, links])).toEqual([
      ["again", 2],
      ["motd", 2],
    ]);
    expect(etc.entries[0]?.["inode"]).toBe(etc.entries[1]?.["inode"]);
  });

  test("cat gives bytes, through symlinks", async () => {
    const { status, stdout } = await home.run(["cat", "app", "/motd"]);
    expect([status, stdout]).toEqual([0, "hello\n"]);
    expect(jsonOf(await home.run(["cat", "app", "etc/../motd", "--json"]))).toMatchObject({
      ...{ command: "cat", sizeBytes: 6, content: Buffer.from("hello\n").toString("base64") },
      digest: "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    });
  });

  test.each<[number, string, readonly string[]]>([
    [4, "PATH_NOT_FOUND", ["cat", "app", "/none"]],
    [4, "PATH_NOT_FOUND", ["ls", "app", "/gone"]],
    [10, "FILE_TYPE_UNSUPPORTED", ["cat", "app", "/etc"]],
    [4, "IMAGE_NOT_FOUND", ["ls", "none"]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await home.run([...args, "--json"]);
    expect([found.status, errorOf(found)["code"], found.stdout]).toEqual([status, code, ""]);
  });
});
