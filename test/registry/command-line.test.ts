/** The command line pulls; what it needs was built before. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf, type CliResult } from "../support/cli-run.ts";
import {
  layoutRegistry,
  startFaultyProxy,
  startServer,
  type LoopbackServer,
} from "../support/faulty-proxy.ts";
import {
  LayoutBuilder,
  tarOf,
  temporaryDirectory,
  writeLayout,
  type JsonDescriptor,
} from "../support/oci-layout.ts";
import { LOGIN } from "../support/registry.ts";

const byText = (left: string, right: string): number => (left < right ? -1 : 1);
const BIN = path.resolve(import.meta.dirname, "../../bin/lambda-img");

/** As CliHome.run, with an end to standard input. */
function runWithInput(home: CliHome, args: readonly string[], input: string): Promise<CliResult> {
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: home.path,
    XDG_DATA_HOME: path.join(home.path, "share"),
  };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], { env, cwd: home.path });
    const text = { stdout: "", stderr: "" };
    child.stdout.on("data", (piece: Uint8Array) => (text.stdout += Buffer.from(piece).toString()));
    child.stderr.on("data", (piece: Uint8Array) => (text.stderr += Buffer.from(piece).toString()));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      resolve({ status, signal, ...text, stdoutBytes: Buffer.from(text.stdout) });
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

describe.skipIf(!isBuilt)("convert", () => {
  const folder = temporaryDirectory();
  const home = new CliHome();
  let layout: string;
  let server: LoopbackServer;
  const basic = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64")}`;

  beforeAll(async () => {
    const tar = await tarOf([{ name: "etc/motd", content: "hello" }]);
    layout = writeLayout(path.join(folder.path, "layout"), [{ layers: [{ tar }], tag: "v1" }]);
    const registry = layoutRegistry(layout);
    server = await startServer(async (request, response) => {
      const isOpen = request.url === "/v2/" || request.url.startsWith("/v2/open/");
      if (!isOpen && request.headers.authorization !== basic) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
        return;
      }
      const { status, headers, bytes } = await registry(request);
      response.writeHead(status, headers).end(bytes);
    });
  });
  afterAll(async () => {
    await server.close();
    home.remove();
    folder.remove();
  });

  test("makes the same disk of an image in a registry as of its layout", async () => {
    const pulled = jsonOf(await home.run(["convert", `${server.host}/open/app:v1`, "--json"]));
    const read = jsonOf(await home.run(["convert", `oci:${layout}:v1`, "--json"]));
    expect(pulled["name"]).toBe("app:v1");
    expect(pulled["disk"]).toEqual(read["disk"]);
    expect(pulled["manifest"]).toBe(read["manifest"]);
    expect(pulled["sourceDigest"]).toBe(read["sourceDigest"]);
  });

  test("reads no layer of an image that is known, and of a rebuilt one only what is new", async () => {
    const own = new CliHome();
    const [base, second, third] = await Promise.all(
      ["base", "second", "third"].map((name) => tarOf([{ name, content: name.repeat(100_000) }])),
    );
    const builder = new LayoutBuilder(path.join(folder.path, "rebuilt"));
    const v1 = builder.image({ layers: [{ tar: base! }, { tar: second! }], tag: "v1" });
    const v2 = builder.image({ layers: [{ tar: base! }, { tar: third! }], tag: "v2" });
    builder.index([v1, v2]);
    const documents = (image: JsonDescriptor): { config: string; layers: string[] } => {
      const file = path.join(builder.directory, "blobs", ...image.digest.split(":"));
      const manifest = JSON.parse(readFileSync(file, "utf8")) as Record<
        string,
        JsonDescriptor & JsonDescriptor[]
      >;
      return { config: manifest["config"]!.digest, layers: manifest["layers"]!.map(({ digest }) => digest) };
    };
    const counting = await startFaultyProxy(layoutRegistry(builder.directory), () => undefined);
    /** Converts, and says which files of the registry were asked for. */
    const convert = async (
      ...args: string[]
    ): Promise<{ json: Record<string, unknown>; blobs: string[] }> => {
      const before = counting.requests.length;
      const json = jsonOf(await own.run(["convert", "--json", ...args]));
      const urls = counting.requests.slice(before).map(({ url }) => url);
      return { json, blobs: urls.flatMap((url) => /\/blobs\/(.+)$/.exec(url)?.[1] ?? []) };
    };
    try {
      const first = await convert(`${counting.host}/app:v1`);
      const [one, two] = [documents(v1), documents(v2)];
      expect(first.blobs.toSorted(byText)).toEqual([one.config, ...one.layers].toSorted(byText));
      expect(first.json).toMatchObject({ layers: { total: 2, reused: 0 } });
      const again = await convert(`${counting.host}/app:v1`, "--name", "again");
      expect(again.blobs).toEqual([one.config]);
      expect(again.json).toMatchObject({
        ...{ manifest: first.json["manifest"], disk: first.json["disk"], layers: { total: 2, reused: 2 } },
        ...{ bytes: { layers: 0, new: 0 }, chunks: { new: 0, kept: 0 } },
      });
      const rebuilt = await convert(`${counting.host}/app:v2`);
      expect(rebuilt.blobs).toEqual([two.config, two.layers[1]]);
      expect(rebuilt.json).toMatchObject({ layers: { total: 2, reused: 1 } });
      const full = await convert(`${counting.host}/app:v2`, "--no-reuse");
      expect(full.blobs.toSorted(byText)).toEqual([two.config, ...two.layers].toSorted(byText));
      expect(full.json).toMatchObject({
        ...{ manifest: rebuilt.json["manifest"], disk: rebuilt.json["disk"] },
        ...{ layers: { total: 2, reused: 0 }, bytes: { new: 0 } },
      });
      const dry = await convert(`${counting.host}/app:v2`, "--dry-run");
      expect(dry.blobs).toEqual([two.config]);
      expect(dry.json["layers"]).toHaveLength(2);
    } finally {
      await counting.close();
      own.remove();
    }
  });

  test("with --dry-run says what it would pull, and makes nothing", async () => {
    const fresh = new CliHome();
    try {
      const found = jsonOf(await fresh.run(["convert", "--dry-run", `${server.host}/open/app:v1`, "--json"]));
      expect(found).toMatchObject({
        command: "convert",
        dryRun: true,
        name: "app:v1",
        platform: "linux/amd64",
      });
      expect(found["layers"]).toHaveLength(1);
      const text = await fresh.run(["convert", "--dry-run", `oci:${layout}:v1`]);
      expect(text.stdout).toMatch(/^layout:v1: would be converted from oci:/);
      expect(text.stderr).toBe("");
      const listed = await fresh.run(["images", "--json"]);
      expect(errorOf(listed)["code"]).toMatch(/_NOT_FOUND$/);
    } finally {
      fresh.remove();
    }
  });

  test("logs in with a password from standard input, and shows it nowhere", async () => {
    const words = ["convert", "--dry-run", "--json", "--username", LOGIN.username, "--password-stdin"];
    const result = await runWithInput(
      home,
      [...words, `${server.host}/closed/app:v1`],
      `${LOGIN.password}\n`,
    );
    expect(jsonOf(result)["name"]).toBe("app:v1");
    const wrong = await runWithInput(home, [...words, `${server.host}/closed/app:v1`], "wrong-4711");
    expect(wrong.status).toBe(3);
    expect(errorOf(wrong)["code"]).toBe("REGISTRY_UNAUTHORIZED");
    expect(wrong.stderr).not.toContain("4711");
  });

  test("a signal ends the waiting for a password that does not come", async () => {
    const words = ["convert", "--username", "x", "--password-stdin", "r.test/x"];
    const found = await home.run(words, {
      whileRunning: (child) => {
        // By then it has begun to wait, too: it started first.
        void home.run(["images"]).then(async () => {
          await home.run(["images"]);
          child.kill("SIGTERM");
        });
      },
    });
    expect([found.status, found.signal, found.stderr]).toEqual([130, null, ""]);
  });

  test("logs in as docker did", async () => {
    const auth = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64");
    writeFileSync(
      path.join(folder.path, "config.json"),
      JSON.stringify({ auths: { [server.host]: { auth } } }),
    );
    const words = ["convert", "--dry-run", "--json", `${server.host}/closed/app:v1`];
    expect(jsonOf(await home.run(words, { env: { DOCKER_CONFIG: folder.path } }))["name"]).toBe("app:v1");
    expect(errorOf(await home.run(words))["code"]).toBe("REGISTRY_UNAUTHORIZED");
  });

  test.each([
    [["--username", "x", "r.test/x"], /--username and --password-stdin go together/],
    [["--password-stdin", "r.test/x"], /go together/],
    [["--username", "x", "--password-stdin", "r.test/x"], /standard input is empty/],
    [["--ca", "absent.pem", "r.test/x"], /--ca: the file cannot be read \(ENOENT\)/],
    [["--ca", BIN, "r.test/x"], /expected certificates in PEM form/],
    [["--insecure-registry", "http://r.test", "r.test/x"], /expected HOST or HOST:PORT/],
    [["--ca", "x", "oci:x"], /are for images in registries/],
  ])("%j is wrong usage", async (args, message) => {
    const { status, stderr } = await runWithInput(home, ["convert", ...args], "");
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  test("is documented", () => {
    const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/cli.md"), "utf8");
    for (const option of ["--dry-run", "--username", "--password-stdin", "--insecure-registry", "--ca"]) {
      expect(page).toContain(`\`${option}`);
    }
  });
});
