/** `lambda-img serve`, judged by libnbd's and QEMU's clients. */
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf } from "../support/cli-run.ts";
import { run, SYSTEM_PYTHON, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, SECRET, UPPER, writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

const CHUNK_BYTES = 512 * 1024;

/** A layer with a body that fills chunks by itself. */
const LARGE = tarBuilder()
  .file(
    "large",
    Uint8Array.from({ length: 3 * CHUNK_BYTES }, (_, at) => (at * 7 + (at >> 9)) & 0xff),
  )
  .end();

interface Damage {
  readonly flip: () => void;
  readonly remove: () => void;
  readonly repair: () => void;
}

interface NbdInfo {
  readonly exports: readonly Readonly<Record<string, unknown>>[];
}

describe.skipIf(!isBuilt)("lambda-img serve (needs npm run build)", () => {
  let home: CliHome;
  let manifestId: string;
  const inHome = (name: string): string => path.join(home.path, name);

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path, [LARGE, LOWER, UPPER]);
    const json = jsonOf(await home.run(["convert", "oci:app", "--json"]));
    manifestId = String(json["manifest"]);
    await home.run(["export", "app", "-o", "disk.ext4"]);
  });
  afterAll(() => {
    home.remove();
  });

  /** Files of chunks, with the digest in their names. */
  function chunkFiles(): string[] {
    return readdirSync(home.storePath, { recursive: true, encoding: "utf8" })
      .filter((name) => /chunks\/..\/./.test(name))
      .map((name) => path.join(home.storePath, name));
  }

  /** Has the store without its chunks, or with other bytes in them; `repair` comes in any case. */
  async function withDamage(use: (chunks: Damage) => Promise<void>): Promise<void> {
    const good = new Map(chunkFiles().map((file) => [file, readFileSync(file)]));
    const repair = (): void => {
      for (const [file, bytes] of good) writeFileSync(file, bytes);
    };
    const flip = (): void => {
      for (const [file, bytes] of good) {
        const changed = Buffer.from(bytes);
        changed[77]! ^= 1;
        writeFileSync(file, changed);
      }
    };
    const remove = (): void => {
      for (const file of good.keys()) rmSync(file);
    };
    try {
      await use({ flip, remove, repair });
    } finally {
      repair();
    }
  }

  /** The first chunk that is filled with `large`, as offset in the disk image. */
  function largeOffset(): number {
    const at = readFileSync(inHome("disk.ext4")).indexOf(LARGE.subarray(512, 512 + 4096));
    expect(at % CHUNK_BYTES).toBe(0);
    return at;
  }

  testWith(
    ["nbdinfo", "nbdcopy"],
    "serves the bytes that export writes, under name and as default",
    async () => {
      const server = await startServe(home, ["app", "--socket", "s"]);
      const sizeBytes = statSync(inHome("disk.ext4")).size;
      expect(server.json).toEqual({
        command: "serve",
        socket: inHome("s"),
        uri: `nbd+unix:///?socket=${inHome("s")}`,
        overlay: "memory",
        exports: [{ name: "app", manifest: manifestId, sizeBytes }],
      });
      expect(lstatSync(inHome("s")).mode & 0o7777).toBe(0o600);
      for (const uri of [server.uri, server.uri.replace("///", "///app")]) {
        await run("nbdcopy", [uri, inHome("copy")]);
        expect(readFileSync(inHome("copy")).equals(readFileSync(inHome("disk.ext4")))).toBe(true);
      }
      const found = JSON.parse(await run("nbdinfo", ["--json", "--list", server.uri])) as NbdInfo;
      expect(found.exports[0]).toMatchObject({
        "export-name": "app",
        "export-size": sizeBytes,
        is_read_only: false,
      });
      expect(await server.stop()).toEqual({ status: 0, signal: null });
      expect(existsSync(inHome("s"))).toBe(false);
      expect(server.stderr()).not.toContain(SECRET);
      expect(server.stderr()).toMatch(/^lambda-img: stopped: \d+ chunks read, 0 reads of chunks failed/);
    },
  );

  testWith(["nbdcopy"], "goes on where nobody reads its warnings any more", async () => {
    const server = await startServe(home, ["app", "--overlay", "none"]);
    server.closeStderr();
    await withDamage(async ({ remove }) => {
      remove();
      for (let turn = 0; turn < 2; turn++)
        await expect(run("nbdcopy", [server.uri, inHome("copy")])).rejects.toThrow("Input/output error");
    });
    await run("nbdcopy", [server.uri, inHome("copy")]);
    expect(readFileSync(inHome("copy")).equals(readFileSync(inHome("disk.ext4")))).toBe(true);
    expect(await server.stop()).toEqual({ status: 0, signal: null });
  });

  testWith(
    ["qemu-img", "nbdinfo"],
    "without a writable overlay is read-only, and equal for qemu-img",
    async () => {
      const server = await startServe(home, [manifestId, "--overlay", "none"]);
      const said = await run("qemu-img", [
        "compare",
        "-f",
        "raw",
        "-F",
        "raw",
        server.uri,
        inHome("disk.ext4"),
      ]);
      expect(said).toBe("Images are identical.\n");
      const found = JSON.parse(await run("nbdinfo", ["--json", server.uri])) as NbdInfo;
      expect(found.exports[0]).toMatchObject({ "export-name": manifestId, is_read_only: true });
      const map = JSON.parse(await run("nbdinfo", ["--map", "--json", server.uri])) as { type: number }[];
      expect(new Set(map.map(({ type }) => type))).toEqual(new Set([0, 3]));
      expect((await server.stop("SIGINT")).status).toBe(0);
    },
  );

  test.each<[string, number | null, (env: Readonly<Record<string, string>>) => Promise<number | null>]>([
    [
      "SIGHUP, as of a terminal that is closed",
      0,
      async (env) => {
        const server = await startServe(home, ["app"], env);
        return (await server.stop("SIGHUP")).status;
      },
    ],
    ["a result that nobody reads", 141, (env) => serveTo("| true", env)],
    ["a result that nothing takes", 9, (env) => serveTo(">/dev/full", env)],
  ])("leaves no socket behind after %s", async (_, status, stop) => {
    const runtime = inHome("run-left");
    mkdirSync(runtime, { recursive: true });
    expect(await stop({ XDG_RUNTIME_DIR: runtime })).toBe(status);
    expect(readdirSync(path.join(runtime, "lambda-img"))).toEqual([]);
  });

  testWith(["python3"], "leaves no socket behind where its terminal goes away, and does not crash", () => {
    const runtime = inHome("run-terminal");
    mkdirSync(runtime, { recursive: true });
    const script = `import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b""
while b"nbd+unix" not in said: said += os.read(terminal, 1000)
os.close(terminal)
print(os.waitpid(pid, 0)[1])`;
    const bin = path.resolve(import.meta.dirname, "../../bin/lambda-img");
    const env = {
      ...{ PATH: process.env["PATH"], HOME: home.path, XDG_RUNTIME_DIR: runtime },
      ...{ XDG_DATA_HOME: inHome("share"), XDG_CONFIG_HOME: inHome("config") },
    };
    const args = ["-c", script, process.execPath, bin, "serve", "app"];
    const found = spawnSync(SYSTEM_PYTHON, args, { env, encoding: "utf8", timeout: 30_000 });
    expect([found.stdout, found.stderr]).toEqual(["1\n", ""]);
    expect(readdirSync(path.join(runtime, "lambda-img"))).toEqual([]);
  });

  function serveTo(where: string, variables: Readonly<Record<string, string>>): Promise<number | null> {
    const script = `"$0" "$1" serve app ${where}; exit "\${PIPESTATUS[0]}"`;
    const env = {
      ...process.env,
      ...variables,
      XDG_DATA_HOME: inHome("share"),
      XDG_CONFIG_HOME: inHome("config"),
    };
    const bin = path.resolve(import.meta.dirname, "../../bin/lambda-img");
    return new Promise((resolve) => {
      const args = ["-c", script, process.execPath, bin];
      spawn("bash", args, { env, stdio: "ignore", timeout: 30_000 }).on("close", resolve);
    });
  }

  testWith(
    ["nbdinfo"],
    "makes its socket in the runtime directory, where nobody else can enter",
    async () => {
      const runtime = inHome("run");
      mkdirSync(runtime, { recursive: true });
      const server = await startServe(home, ["app"], { XDG_RUNTIME_DIR: runtime });
      expect(path.dirname(String(server.json["socket"]))).toBe(path.join(runtime, "lambda-img"));
      expect(lstatSync(path.join(runtime, "lambda-img")).mode & 0o7777).toBe(0o700);
      await run("nbdinfo", [server.uri]);
      await server.stop();
      expect(readdirSync(path.join(runtime, "lambda-img"))).toEqual([]);
    },
  );

  testWith(["nbdinfo"], "without images serves all names, also those that come later", async () => {
    const server = await startServe(home, []);
    expect(server.json["exports"]).toMatchObject([{ name: "app" }]);
    const ofApp = (name: string): string => server.uri.replace("///", `///${name}`);
    await expect(run("nbdinfo", [ofApp("later")])).rejects.toThrow("No such file");
    jsonOf(await home.run(["convert", "oci:app", "--name", "later", "--json"]));
    await run("nbdinfo", [ofApp("later")]);
    await expect(run("nbdinfo", [server.uri])).rejects.toThrow();
    expect((await server.stop()).status).toBe(0);
  });

  testWith(["qemu-io"], "keeps what is written for as long as it runs, and the store as it is", async () => {
    const before = chunkFiles().map((file) => [file, readFileSync(file).toString("latin1")]);
    const server = await startServe(home, ["app"]);
    await run("qemu-io", ["-f", "raw", "-c", "write -P 0x41 1000 9000", server.uri]);
    expect(await run("qemu-io", ["-f", "raw", "-c", "read -P 0x41 1000 9000", server.uri])).toContain(
      "9000/9000",
    );
    await server.stop();
    expect(chunkFiles().map((file) => [file, readFileSync(file).toString("latin1")])).toEqual(before);
    const again = await startServe(home, ["app", "--overlay", "none"]);
    const found = await run("qemu-io", ["-r", "-f", "raw", "-c", "read -P 0x41 1000 9000", again.uri]).catch(
      String,
    );
    expect(found).toContain("Pattern verification failed");
  });

  testWith(["qemu-io"], "keeps what is written to an overlay file over a restart", async () => {
    const args = ["app", "--overlay", "my.overlay", "--socket", "o"];
    const first = await startServe(home, args);
    await run("qemu-io", ["-f", "raw", "-c", "write -P 0x42 512k 1M", "-c", "flush", first.uri]);
    // Nothing is lost by a crash after a flush.
    await first.stop("SIGKILL");
    expect(lstatSync(inHome("my.overlay")).mode & 0o777).toBe(0o600);
    const second = await startServe(home, args);
    expect(await run("qemu-io", ["-f", "raw", "-c", "read -P 0x42 512k 1M", second.uri])).toContain("1 MiB");
    const refused = await home.run(["serve", "app", "--overlay", "my.overlay", "--json"]);
    expect([refused.status, errorOf(refused)["code"]]).toEqual([9, "OVERLAY_UNAVAILABLE"]);
    await second.stop();
  });

  testWith(["qemu-io"], "is bounded: what an overlay cannot hold fails, and nothing else does", async () => {
    const server = await startServe(home, ["app", "--overlay-size", "64K"]);
    await run("qemu-io", ["-f", "raw", "-c", "write -P 1 0 64k", server.uri]);
    const found = await run("qemu-io", ["-f", "raw", "-c", "write -P 1 64k 4k", server.uri]).catch(String);
    expect(found).toContain("No space left on device");
    await run("qemu-io", ["-f", "raw", "-c", "read -P 1 0 64k", server.uri]);
    expect(server.stderr().match(/warning/g)).toHaveLength(1);
  });

  testWith(
    ["qemu-io"],
    "a chunk that is damaged or missing fails alone, is told once, and is well once repaired",
    async () => {
      const server = await startServe(home, ["app", "--overlay", "none"]);
      const offset = largeOffset();
      const read = (at: number): Promise<string> =>
        run("qemu-io", ["-r", "-f", "raw", "-c", `read ${at} 4k`, server.uri]).catch(String);
      await withDamage(async ({ flip, remove, repair }) => {
        flip();
        for (let turn = 0; turn < 3; turn++) expect(await read(offset)).toContain("Input/output error");
        expect(server.stderr().match(/digest mismatch/g)).toHaveLength(1);
        remove();
        for (let turn = 0; turn < 3; turn++) {
          expect(await read(offset + CHUNK_BYTES)).toContain("Input/output error");
        }
        expect(server.stderr().match(/warning/g)).toHaveLength(2);
        expect(await read(statSync(inHome("disk.ext4")).size - 4096)).toContain("4 KiB");
        repair();
        for (let turn = 0; turn < 2; turn++) expect(await read(offset)).toContain("4 KiB");
        expect(server.stderr().match(/can be read again/g)).toHaveLength(1);
      });
      await server.stop();
      expect(server.stderr()).toMatch(/1 chunks read, 6 reads of chunks failed, 1 chunks not readable/);
    },
  );

  testWith(["qemu-io"], "with --on-error block a read waits until the store is repaired", async () => {
    const server = await startServe(home, ["app", "--overlay", "none", "--on-error", "block"]);
    await withDamage(async ({ remove, repair }) => {
      remove();
      const reading = run("qemu-io", ["-r", "-f", "raw", "-c", `read ${largeOffset()} 4k`, server.uri]);
      await server.said(/cannot read a chunk/);
      repair();
      expect(await reading).toContain("4 KiB");
    });
  });

  testWith(["qemu-io"], "a read that waits does not keep the server from its end", async () => {
    const server = await startServe(home, ["app", "--overlay", "none", "--on-error", "block"]);
    await withDamage(async ({ remove }) => {
      remove();
      const reading = run("qemu-io", ["-r", "-f", "raw", "-c", "read 0 4k", server.uri]).catch(String);
      await server.said(/cannot read a chunk/);
      expect((await server.stop()).status).toBe(0);
      await reading;
    });
  });

  testWith(["nbdinfo", "openssl"], "listens on TCP on this machine, and with TLS", async () => {
    const plain = await startServe(home, ["app", "--listen", "127.0.0.1:0"]);
    expect(plain.json["address"]).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(plain.uri).toBe(`nbd://${String(plain.json["address"])}`);
    await run("nbdinfo", [plain.uri]);
    const kind = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
    const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    mkdirSync(inHome("pki"), { recursive: true });
    const files = ["-keyout", inHome("pki/server-key.pem"), "-out", inHome("pki/ca-cert.pem")];
    await run("openssl", ["req", "-x509", ...kind, ...names, ...files]);
    const tls = ["--tls-cert", "pki/ca-cert.pem", "--tls-key", "pki/server-key.pem"];
    const secure = await startServe(home, ["app", "--listen", "127.0.0.1:0", ...tls]);
    expect(secure.uri).toMatch(/^nbds:/);
    await run("nbdinfo", [`${secure.uri}?tls-certificates=${inHome("pki")}`]);
    await expect(run("nbdinfo", [secure.uri.replace("nbds", "nbd")])).rejects.toThrow();
    expect(secure.stderr()).toContain("--tls-ca");
  });

  test.each<[number, string, readonly string[]]>([
    [2, "USAGE_INVALID", ["app", "--listen", "0.0.0.0:0"]],
    [2, "USAGE_INVALID", ["app", "--listen", "[::]:0"]],
    [2, "USAGE_INVALID", ["app", "--listen", "here"]],
    [2, "USAGE_INVALID", ["app", "--listen", "127.0.0.1:0", "--socket", "x"]],
    [2, "USAGE_INVALID", ["app", "--listen", "127.0.0.1:0", "--tls-cert", "disk.ext4"]],
    [2, "USAGE_INVALID", ["app", "--listen", "127.0.0.1:0", "--tls-cert", "none", "--tls-key", "none"]],
    [2, "USAGE_INVALID", ["app", "--tls-cert", "x", "--tls-key", "x"]],
    [2, "USAGE_INVALID", ["app", "--socket", ""]],
    [2, "USAGE_INVALID", ["app", "--overlay", "none", "--overlay-size", "1G"]],
    [2, "USAGE_INVALID", ["--overlay", "file"]],
    [2, "USAGE_INVALID", ["--pin"]],
    [2, "USAGE_INVALID", ["app", manifestless(), "--overlay", "file"]],
    [2, "USAGE_INVALID", ["app", "--overlay", ""]],
    [2, "SIZE_INVALID", ["app", "--overlay-size", "much"]],
    [2, "USAGE_INVALID", ["app", "--read-timeout", "0"]],
    [2, "USAGE_INVALID", ["app", "--read-timeout", "3601"]],
    [2, "USAGE_INVALID", ["app", "--read-timeout", "soon"]],
    [2, "USAGE_INVALID", ["app", "--on-error", "panic"]],
    [4, "IMAGE_NOT_FOUND", ["other"]],
    [4, "MANIFEST_NOT_FOUND", [manifestless()]],
    [5, "OVERLAY_INVALID", ["app", "--overlay", "disk.ext4"]],
    [9, "LISTEN_UNAVAILABLE", ["app", "--socket", "disk.ext4"]],
    [9, "LISTEN_UNAVAILABLE", ["app", "--socket", "x".repeat(120)]],
  ])("ends with %i, %s: %j", async (status, code, args) => {
    const found = await home.run(["serve", ...args, "--json"]);
    expect([found.status, errorOf(found)["code"]]).toEqual([status, code]);
    expect(found.stdout).toBe("");
  });
});

function manifestless(): string {
  return `sha256:${"0".repeat(64)}`;
}
