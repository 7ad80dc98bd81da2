import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { basicAuthorization, findCredentials, passwordLogin } from "../../src/registry/credentials.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

let folder = temporaryDirectory();
beforeEach(() => {
  folder = temporaryDirectory();
});
afterEach(() => {
  folder.remove();
});

function write(name: string, content: unknown): string {
  const file = path.join(folder.path, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

function find(
  target: string,
  variables: Readonly<Record<string, string>> = {},
): ReturnType<typeof findCredentials> {
  const [registry = "", ...parts] = target.split("/");
  const places = { variables: { PATH: folder.path, ...variables }, homeDirectory: folder.path };
  return findCredentials({ registry, repository: parts.join("/") }, places, undefined);
}

function entry(username: string, password = "p"): { auth: string } {
  return { auth: Buffer.from(`${username}:${password}`).toString("base64") };
}

const user = (username: string, password = "p"): object => ({ kind: "password", username, password });

/** A program that has a login for one server. */
function program(name: string, server: string, username: string): void {
  const file = write(
    `docker-credential-${name}`,
    `#!/bin/sh\nread asked\nif [ "$asked" = "${server}" ]; then echo '{"Username":"${username}","Secret":"p"}'; else echo credentials not found; exit 1; fi\n`,
  );
  chmodSync(file, 0o755);
}

describe("files", () => {
  test("none means no login", async () => {
    expect(await find("r.io/x")).toBeUndefined();
  });

  test("of the home directory are left out where there is none, and none of this directory is read", async () => {
    const before = process.cwd();
    write(".docker/config.json", { auths: { "r.io": entry("here") } });
    write(".config/containers/auth.json", { auths: { "r.io": entry("here") } });
    write("docker/config.json", { auths: { "r.io": entry("docker") } });
    const target = { registry: "r.io", repository: "x" };
    try {
      process.chdir(folder.path);
      expect(await findCredentials(target, { variables: {}, homeDirectory: "" }, undefined)).toBeUndefined();
      const variables = { DOCKER_CONFIG: path.join(folder.path, "docker") };
      expect(await findCredentials(target, { variables, homeDirectory: "" }, undefined)).toEqual(
        user("docker"),
      );
    } finally {
      process.chdir(before);
    }
  });

  test("are looked at in podman's order, and the first that has a login is taken", async () => {
    const variables = {
      XDG_RUNTIME_DIR: path.join(folder.path, "run"),
      XDG_CONFIG_HOME: path.join(folder.path, "conf"),
      DOCKER_CONFIG: path.join(folder.path, "docker"),
    };
    write("docker/config.json", { auths: { "r.io": entry("docker") } });
    expect(await find("r.io/x", variables)).toEqual(user("docker"));
    write("conf/containers/auth.json", { auths: { "r.io": entry("config") } });
    expect(await find("r.io/x", variables)).toEqual(user("config"));
    write("run/containers/auth.json", { auths: { "other.io": entry("runtime") } });
    expect(await find("r.io/x", variables)).toEqual(user("config"));
    write("run/containers/auth.json", { auths: { "r.io": entry("runtime") } });
    expect(await find("r.io/x", variables)).toEqual(user("runtime"));
    const named = write("named.json", { auths: { "r.io": entry("named") } });
    expect(await find("r.io/x", { ...variables, REGISTRY_AUTH_FILE: named })).toEqual(user("named"));
    expect(await find("other.io/x", { ...variables, REGISTRY_AUTH_FILE: named })).toBeUndefined();
  });

  test("in the home directory are found without variables", async () => {
    write(".docker/config.json", { auths: { "r.io": entry("docker") } });
    expect(await find("r.io/x")).toEqual(user("docker"));
    write(".config/containers/auth.json", { auths: { "r.io": entry("podman") } });
    expect(await find("r.io/x")).toEqual(user("podman"));
  });

  test("that are named have to be there", async () => {
    await expect(
      find("r.io/x", { REGISTRY_AUTH_FILE: path.join(folder.path, "no.json") }),
    ).rejects.toMatchObject({
      code: "CREDENTIALS_INVALID",
      message: expect.stringContaining("there is no such file") as string,
    });
  });

  test.each(["{", "[]", "null", '"x"', `{"auths": "hidden-4711"`])(
    "that are no JSON object are refused: %j",
    async (text) => {
      write(".docker/config.json", text);
      const error: unknown = await find("r.io/x").catch((cause: unknown) => cause);
      expect(error).toMatchObject({ code: "CREDENTIALS_INVALID" });
      expect(String(error)).not.toContain("hidden-4711");
    },
  );

  test.each([
    "",
    " \n",
    "{}",
    `{"auths":null}`,
    `{"auths":[]}`,
    `{"auths":{"r.io":{}}}`,
    `{"auths":{"r.io":null}}`,
  ])("that have no login are no error: %j", async (text) => {
    write(".docker/config.json", text);
    expect(await find("r.io/x")).toBeUndefined();
  });

  test("that are too large are refused", async () => {
    write(".docker/config.json", `{"x":"${"x".repeat(1024 * 1024)}"}`);
    await expect(find("r.io/x")).rejects.toThrow("the file is too large");
  });
});

describe("keys", () => {
  test("that name more of the path go first", async () => {
    write(".config/containers/auth.json", {
      auths: {
        "r.io": entry("host"),
        "r.io/a": entry("a"),
        "r.io/a/b": entry("b"),
        "r.io/a/b/c": entry("c"),
      },
    });
    expect(await find("r.io/a/b/c")).toEqual(user("c"));
    expect(await find("r.io/a/b/d")).toEqual(user("b"));
    expect(await find("r.io/a/bb")).toEqual(user("a"));
    expect(await find("r.io/aa")).toEqual(user("host"));
    expect(await find("r.io:5000/a")).toBeUndefined();
    expect(await find("xr.io/a")).toBeUndefined();
  });

  test.each([
    "docker.io",
    "index.docker.io",
    "https://index.docker.io/v1/",
    "https://index.docker.io/v1",
    "docker.io/library",
    "docker.io/library/alpine",
  ])("of Docker Hub: %s", async (key) => {
    write(".docker/config.json", { auths: { [key]: entry("hub") } });
    expect(await find("docker.io/library/alpine")).toEqual(user("hub"));
  });

  test.each(["https://r.io", "https://r.io/v1/", "http://r.io/v2/", "r.io/v2"])(
    "may be URLs: %s",
    async (key) => {
      write(".docker/config.json", { auths: { [key]: entry("url") } });
      expect(await find("r.io/x")).toEqual(user("url"));
    },
  );

  test("that are names of every object are none", async () => {
    write(".docker/config.json", { auths: { other: entry("x") }, credHelpers: {} });
    expect(await find("constructor/x")).toBeUndefined();
    expect(await find("__proto__/x")).toBeUndefined();
  });
});

describe("entries", () => {
  test.each([
    [entry("u", "p:q"), user("u", "p:q")],
    [entry("u", "pö\u{1f600}"), user("u", "pö\u{1f600}")],
    [entry("u", ""), user("u", "")],
    [entry("u", "p\0\0"), user("u")],
    [{ username: "u", password: "p" }, user("u")],
    [
      { ...entry("u"), identitytoken: "t" },
      { kind: "identity", token: "t" },
    ],
    [
      { ...entry("u"), registrytoken: "t" },
      { kind: "bearer", token: "t" },
    ],
  ])("%j", async (given, expected) => {
    write(".docker/config.json", { auths: { "r.io": given } });
    expect(await find("r.io/x")).toEqual(expected);
  });

  test.each([
    { auth: "hidden-4711!" },
    { auth: Buffer.from("hidden-4711").toString("base64") },
    { auth: Buffer.from(":hidden-4711").toString("base64") },
    { auth: Buffer.from("u:hidden-4711\n").toString("base64") },
    { identitytoken: "hidden-4711\r\nx: y" },
    { registrytoken: "hidden 4711" },
    { username: "u:v", password: "hidden-4711" },
  ])("that are wrong are refused, and not shown: %j", async (given) => {
    write(".docker/config.json", { auths: { "r.io": given } });
    const error: unknown = await find("r.io/x").catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "CREDENTIALS_INVALID",
      message: expect.stringContaining("r.io") as string,
    });
    expect(String(error)).not.toContain("hidden-4711");
  });
});

describe("programs", () => {
  test("of a host go before its entry, the common one after", async () => {
    program("own", "r.io", "own");
    program("common", "r.io", "common");
    write(".docker/config.json", {
      credHelpers: { "r.io": "own" },
      credsStore: "common",
      auths: { "r.io": entry("file") },
    });
    expect(await find("r.io/x")).toEqual(user("own"));
    write(".docker/config.json", { credsStore: "common", auths: { "r.io": entry("file") } });
    expect(await find("r.io/x")).toEqual(user("file"));
    write(".docker/config.json", { credsStore: "common", auths: { "r.io": {} } });
    expect(await find("r.io/x")).toEqual(user("common"));
    expect(await find("other.io/x")).toBeUndefined();
  });

  test.each(["https://index.docker.io/v1/", "docker.io"])("know Docker Hub as %s", async (server) => {
    program("hub", server, "hub");
    write(".docker/config.json", { credsStore: "hub" });
    expect(await find("docker.io/library/x")).toEqual(user("hub"));
    write(".docker/config.json", { credHelpers: { "docker.io": "hub" } });
    expect(await find("docker.io/library/x")).toEqual(user("hub"));
  });

  test("give identity tokens under the name <token>", async () => {
    program("identity", "r.io", "<token>");
    write(".docker/config.json", { credHelpers: { "r.io": "identity" } });
    expect(await find("r.io/x")).toEqual({ kind: "identity", token: "p" });
  });

  test("that are missing are an error, which names file and program", async () => {
    write(".docker/config.json", { credsStore: "desktop" });
    await expect(find("r.io/x")).rejects.toThrow(
      /config\.json: desktop: docker-credential-desktop is not installed/,
    );
  });
});

test("Basic is name and password in UTF-8", () => {
  expect(basicAuthorization("test", "123\u00a3")).toBe("Basic dGVzdDoxMjPCow==");
});

test.each([
  ["a:b", "c"],
  ["a", "b\nc"],
  ["a\0", "b"],
])("a login of %j and %j is refused", (username, password) => {
  expect(() => passwordLogin(username, password, "here")).toThrow(
    expect.objectContaining({ code: "CREDENTIALS_INVALID" }),
  );
});
