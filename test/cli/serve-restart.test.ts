/** A server that is killed and started again under a client that reconnects: QEMU's, in the middle of its work. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, onTestFinished } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { testWith } from "../support/judge.ts";
import { LOWER, UPPER, writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

/** Seconds that QEMU holds requests back for while it has no connection. */
const RECONNECT_SECONDS = 30;

/** `qemu-io` with one connection that outlives its server. */
class QemuClient {
  readonly #child;
  #said = "";

  constructor(socket: string) {
    const image = `driver=nbd,server.type=unix,server.path=${socket},export=app,reconnect-delay=${RECONNECT_SECONDS}`;
    const child = spawn("qemu-io", ["--image-opts", image], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
  }

  /** Gives a command that reads or writes, and resolves to what is said of it. */
  async ask(command: string): Promise<string> {
    this.#said = "";
    this.#child.stdin.write(`${command}\n`);
    while (!/ops\/sec\)|failed:/.test(this.#said)) await once(this.#child.stdout, "data");
    return this.#said;
  }

  async quit(): Promise<void> {
    this.#child.stdin.end("quit\n");
    await once(this.#child, "close");
  }
}

describe.skipIf(!isBuilt)("a server that comes back (needs npm run build)", () => {
  let home: CliHome;
  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path, [LOWER, UPPER]);
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
  });
  afterAll(() => {
    home.remove();
  });

  testWith(["qemu-io"], "has what was flushed to its overlay file, for a client that stayed", async () => {
    const args = ["app", "--overlay", "my.overlay", "--socket", "s"];
    const first = await startServe(home, args);
    const client = new QemuClient(path.join(home.path, "s"));
    // -f: durable when it is answered.
    expect(await client.ask("write -f -P 0x42 512k 1M")).toContain("wrote 1048576/1048576");
    await first.stop("SIGKILL");
    // The client finds its connection gone, and asks again when there is a server.
    const reading = client.ask("read -P 0x42 512k 1M");
    const second = await startServe(home, args);
    const found = await reading;
    expect(found).toContain("read 1048576/1048576");
    expect(found).not.toContain("Pattern verification failed");
    expect(await client.ask("write -P 0x43 1M 64k")).toContain("wrote 65536/65536");
    expect(await client.ask("read -P 0x43 1M 64k")).not.toContain("Pattern verification failed");
    expect(await client.ask("read -P 0x41 1M 64k")).toContain("Pattern verification failed");
    await client.quit();
    expect(second.stderr()).not.toContain("error");
    await second.stop();
  });
});
