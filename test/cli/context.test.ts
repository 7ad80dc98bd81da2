import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { defaultKeyPath, defaultStorePath, homeDirectory } from "../../src/cli/context.ts";
import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { writeApp } from "./_images.ts";

vi.mock("node:os", async (load) => {
  const os = await load<{ homedir: typeof homedir; userInfo: typeof userInfo }>();
  return { ...os, homedir: vi.fn(os.homedir), userInfo: vi.fn(os.userInfo) };
});

const KEY = Buffer.alloc(32, 9).toString("base64");

test("store and key are below the XDG directories, unless variables say otherwise", () => {
  const before = { ...process.env };
  try {
    for (const name of ["LAMBDA_IMG_STORE", "LAMBDA_IMG_KEY_FILE"]) Reflect.deleteProperty(process.env, name);
    process.env["XDG_DATA_HOME"] = "/data";
    process.env["XDG_CONFIG_HOME"] = "/config";
    expect([defaultStorePath(), defaultKeyPath()]).toEqual([
      "/data/lambda-img/store",
      "/config/lambda-img/key.json",
    ]);
    process.env["HOME"] = "/users/me";
    // XDG Base Directory Specification: relative paths are to be ignored.
    process.env["XDG_DATA_HOME"] = "data";
    process.env["XDG_CONFIG_HOME"] = "";
    expect([defaultStorePath(), defaultKeyPath()]).toEqual([
      "/users/me/.local/share/lambda-img/store",
      "/users/me/.config/lambda-img/key.json",
    ]);
    // Where a script has not set them they are empty: that is no path.
    process.env["LAMBDA_IMG_STORE"] = "";
    process.env["LAMBDA_IMG_KEY_FILE"] = "";
    process.env["HOME"] = "";
    const home = userInfo().homedir;
    expect([defaultStorePath(), defaultKeyPath()]).toEqual([
      path.join(home, ".local/share/lambda-img/store"),
      path.join(home, ".config/lambda-img/key.json"),
    ]);
    process.env["LAMBDA_IMG_STORE"] = "/elsewhere";
    process.env["LAMBDA_IMG_KEY_FILE"] = "/key";
    expect([defaultStorePath(), defaultKeyPath()]).toEqual(["/elsewhere", "/key"]);
  } finally {
    for (const name of Object.keys(process.env))
      if (!(name in before)) Reflect.deleteProperty(process.env, name);
    Object.assign(process.env, before);
  }
});

test("a user without a home directory has to say where they are, and reads no login from this directory", () => {
  // As node does for the made-up users of containers, who are in no list of users.
  const fail = (): never => {
    throw Object.assign(new Error("uv_os_homedir returned ENOENT"), { code: "ERR_SYSTEM_ERROR" });
  };
  vi.mocked(homedir).mockImplementation(fail);
  vi.mocked(userInfo).mockImplementation(fail);
  for (const name of ["LAMBDA_IMG_STORE", "LAMBDA_IMG_KEY_FILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]) {
    vi.stubEnv(name, "");
  }
  try {
    for (const ask of [defaultStorePath, defaultKeyPath]) {
      expect(ask).toThrow(expect.objectContaining({ code: "USAGE_INVALID" }));
    }
    expect(homeDirectory()).toBe("");
    vi.stubEnv("XDG_DATA_HOME", "/data");
    expect(defaultStorePath()).toBe("/data/lambda-img/store");
  } finally {
    vi.unstubAllEnvs();
    vi.mocked(homedir).mockReset();
    vi.mocked(userInfo).mockReset();
  }
});

describe.skipIf(!isBuilt)("store and key (needs npm run build)", () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
    writeApp(home.path);
  });
  afterEach(() => {
    home.remove();
  });

  test("come into being with the first conversion, which says so, once", async () => {
    const first = await home.run(["convert", "oci:app", "--json"]);
    jsonOf(first);
    expect(first.stderr).toContain(`made a new key: ${home.keyPath}`);
    expect(first.stderr).toContain(`made a new store: ${home.storePath}`);
    expect(statSync(home.keyPath).mode & 0o777).toBe(0o600);
    const second = await home.run(["convert", "oci:app"]);
    expect([second.status, second.stderr]).toEqual([0, ""]);
  });

  test("are not made by what only reads, nor where the image cannot be opened", async () => {
    for (const args of [
      ["images"],
      ["inspect", "app"],
      ["ls", "app"],
      ["cat", "app", "/a"],
      ["export", "app", "-o", "x"],
      ["convert", "oci:none"],
    ]) {
      expect((await home.run(args)).status).toBe(4);
    }
    expect([
      existsSync(home.storePath),
      existsSync(home.keyPath),
      existsSync(path.join(home.path, "x")),
    ]).toEqual([...[false, false, false]]);
  });

  test("--quiet says nothing of them", async () => {
    const { status, stderr } = await home.run(["convert", "oci:app", "-q"]);
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("can be given by options and by the environment; no key is ever printed", async () => {
    const options = ["--store", "my-store", "--key", "my-key.json"];
    jsonOf(await home.run(["convert", "oci:app", "--json", ...options]));
    expect(existsSync(path.join(home.path, "my-store", "store.json"))).toBe(true);
    const keyFile = path.join(home.path, "my-key.json");
    const secret = Object.values(JSON.parse(readFileSync(keyFile, "utf8")) as object).find(
      (value) => typeof value === "string" && value.length === 44,
    ) as string;
    expect(secret).toMatch(/=$/);
    const env = { LAMBDA_IMG_KEY: KEY };
    const runs = [
      await home.run(["images", "--json", ...options]),
      await home.run(["inspect", "app", "--json", ...options]),
      await home.run(["convert", "oci:app", "--json", "--store", "s2"], { env }),
      await home.run(["inspect", "app", "--json", "--store", "s2"], { env }),
      // The wrong key for this store: nothing of that customer is there.
      await home.run(["inspect", "app", "--json", "--store", "my-store"], { env }),
      await home.run(["images"], { env: { LAMBDA_IMG_KEY: `${KEY}x` } }),
    ];
    expect(runs.map(({ status }) => status)).toEqual([0, 0, 0, 0, 4, 2]);
    for (const { stdout, stderr } of runs) {
      expect(`${stdout}${stderr}`).not.toContain(secret);
      expect(`${stdout}${stderr}`).not.toContain(KEY);
    }
    expect(existsSync(home.keyPath)).toBe(false);
  });

  test("a key file that is none, or that others can read, is refused", async () => {
    mkdirSync(path.dirname(home.keyPath), { recursive: true });
    writeFileSync(home.keyPath, "{}", { mode: 0o600 });
    const bad = await home.run(["images", "--json"]);
    expect([bad.status, errorOf(bad)["code"]]).toEqual([2, "KEY_INVALID"]);
    rmSync(home.keyPath);
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
    chmodSync(home.keyPath, 0o644);
    const open = await home.run(["images", "--json"]);
    expect([open.status, errorOf(open)["code"]]).toEqual([2, "KEY_INVALID"]);
  });

  test("a directory that is no store is left alone", async () => {
    writeFileSync(path.join(home.path, "file"), "");
    const other = await home.run(["convert", "oci:app", "--json", "--store", "."]);
    expect([other.status, errorOf(other)["code"]]).toEqual([5, "STORE_INVALID"]);
  });
});
