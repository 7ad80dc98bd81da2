/** Places to listen at, for any server of node:net; more of it in nbd-server.test.ts. */
import { once } from "node:events";
import { lstatSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import path from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { closeListener, listenOnTcp, listenOnUnix } from "../../src/nbd/listen.ts";
import { makeFolder } from "./serving.ts";

function makeServer(): Server {
  const server = createServer();
  onTestFinished(() => {
    server.close();
  });
  return server;
}

test("a Unix socket is for its owner alone, and its file goes with the server", async () => {
  const before = process.umask(0);
  try {
    const file = path.join(makeFolder(), "s");
    const server = makeServer();
    await listenOnUnix(server, file);
    expect(lstatSync(file).mode & 0o7777).toBe(0o600);
    expect(process.umask(0)).toBe(0);
    server.close();
    await once(server, "close");
    expect(lstatSync(file, { throwIfNoEntry: false })).toBeUndefined();
  } finally {
    process.umask(before);
  }
});

test("the socket of another server, that stands in place of ours, stays when ours is closed", async () => {
  const file = path.join(makeFolder(), "s");
  const ours = makeServer();
  await listenOnUnix(ours, file);
  rmSync(file);
  const other = makeServer();
  await listenOnUnix(other, file);
  const made = lstatSync(file).ino;
  await new Promise<void>((resolve) => {
    closeListener(ours, resolve);
  });
  expect([lstatSync(file).ino, readdirSync(path.dirname(file))]).toEqual([made, ["s"]]);
  closeListener(other);
  expect(readdirSync(path.dirname(file))).toEqual([]);
});

test("a file that is no socket is left alone", async () => {
  const file = path.join(makeFolder(), "s");
  writeFileSync(file, "text");
  await expect(listenOnUnix(makeServer(), file)).rejects.toMatchObject({ code: "LISTEN_UNAVAILABLE" });
  expect(lstatSync(file).size).toBe(4);
});

test("a TCP port that the system has chosen is told, and a taken one is refused", async () => {
  const address = await listenOnTcp(makeServer(), { host: "127.0.0.1", port: 0 });
  expect(address).toEqual({ host: "127.0.0.1", port: expect.any(Number) as number });
  expect(address.port).toBeGreaterThan(0);
  await expect(listenOnTcp(makeServer(), address)).rejects.toMatchObject({
    code: "LISTEN_UNAVAILABLE",
    details: { place: `127.0.0.1:${address.port}` },
  });
});
