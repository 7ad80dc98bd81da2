/** Where the server listens, how many it serves, and how it stops. */
import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import path from "node:path";

import { expect, test } from "vitest";

import type { CallOptions } from "../../src/base/block-source.ts";
import { unlessAborted } from "../../src/base/cancel.ts";
import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import { NbdServer } from "../../src/nbd/nbd-server.ts";
import { Client, goBody, requestBytes } from "./client.ts";
import { MemoryDevice, patternBytes } from "./_memory-device.ts";
import { exportsOf, makeFolder, serve } from "./serving.ts";

const HANDSHAKE_MS = 30_000;
const LINGER_MS = 5_000;

function makeServer(): NbdServer {
  return new NbdServer({ exports: exportsOf({ "": new MemoryDevice(4096) }) });
}

test("the socket file is for its owner alone, whatever the umask, and goes with the server", async () => {
  const before = process.umask(0);
  try {
    const { path: file, server } = await serve({ "": new MemoryDevice(4096) });
    expect(lstatSync(file).mode & 0o7777).toBe(0o600);
    expect(process.umask(0)).toBe(0);
    await server.stop({ graceMs: 1 });
    expect(existsSync(file)).toBe(false);
  } finally {
    process.umask(before);
  }
});

test("a socket file that nobody listens on is replaced", async () => {
  const file = path.join(makeFolder(), "s");
  // A process that ends without cleaning up leaves such a file.
  const script = `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(file)})`;
  expect(spawnSync("python3", ["-c", script]).status).toBe(0);
  expect(lstatSync(file).isSocket()).toBe(true);
  const server = makeServer();
  await server.listenUnix(file);
  await (await Client.start(file)).leave();
  await server.stop({ graceMs: 1 });
});

test.each([
  ["a socket that somebody listens on", undefined],
  ["a file that is no socket", "text"],
])("%s is left alone", async (words, text) => {
  const file = path.join(makeFolder(), "s");
  const first = makeServer();
  if (text === undefined) await first.listenUnix(file);
  else writeFileSync(file, text);
  await expect(makeServer().listenUnix(file)).rejects.toMatchObject({
    code: "LISTEN_UNAVAILABLE",
    message: expect.stringContaining(words) as string,
  });
  if (text === undefined) await (await Client.start(file)).leave();
  else expect(lstatSync(file).size).toBe(text.length);
  await first.stop({ graceMs: 1 });
});

test.each([
  ["a folder that does not exist", "gone/s"],
  ["a path that the kernel would cut", "s".repeat(108)],
])("%s is refused", async (_name, name) => {
  await expect(makeServer().listenUnix(path.join(makeFolder(), name))).rejects.toMatchObject({
    code: "LISTEN_UNAVAILABLE",
  });
});

test("a TCP port is served, and a taken one is refused", async () => {
  const server = new NbdServer({
    exports: exportsOf({ "": new MemoryDevice(4096).fill(0, patternBytes(4096)) }),
  });
  const address = await server.listenTcp({ host: "127.0.0.1", port: 0 });
  const client = await Client.open(address);
  expect((await client.take(18)).toString("latin1", 0, 16)).toBe("NBDMAGICIHAVEOPT");
  await expect(makeServer().listenTcp(address)).rejects.toMatchObject({ code: "LISTEN_UNAVAILABLE" });
  client.destroy();
  await server.stop({ graceMs: 1 });
});

test("one connection more than allowed is closed at once, and the others stay", async () => {
  const { path: file, server } = await serve({ "": new MemoryDevice(4096) }, { connectionCountMax: 2 });
  const clients = [await Client.start(file), await Client.start(file)];
  const third = await Client.open({ path: file });
  expect(await third.rest()).toHaveLength(0);
  expect(server.connectionCount).toBe(2);
  await clients[0]?.leave();
  const [reply] = (await clients[1]?.run({ type: 0, size: 512 })) ?? [];
  expect(reply?.error).toBe(0);
});

test("a handshake that takes too long is cut, a transmission is not", async () => {
  const { path: file, timers, problems } = await serve({ "": new MemoryDevice(4096) });
  const idle = await Client.greet(file);
  await idle.option(8);
  const busy = await Client.start(file);
  timers.fire(HANDSHAKE_MS);
  expect(await idle.rest()).toHaveLength(0);
  expect((await busy.run({ type: 3 }))[0]?.error).toBe(0);
  expect(problems.map(({ error }) => (error as LambdaImgError).code)).toEqual(["NBD_PROTOCOL"]);
});

test("a client that does not close after its goodbye is cut after a while", async () => {
  const device = new MemoryDevice(4096);
  const { path: file, server, timers } = await serve({ "": device });
  const client = await Client.start(file);
  // Reads nothing any more, so it does not see that the server has closed.
  client.socket.pause();
  client.ask({ type: 2 });
  await until(() => timers.delays.includes(LINGER_MS));
  expect(server.connectionCount).toBe(1);
  timers.fire(LINGER_MS);
  await until(() => server.connectionCount === 0);
  expect(device.calls.close).toBe(1);
  client.destroy();
});

test("a stop finishes what is under way, refuses what comes after, flushes, closes", async () => {
  const device = new MemoryDevice(1 << 20);
  const { path: file, server } = await serve({ "": device });
  const client = await Client.start(file);
  const release = device.hold();
  client.ask({ type: 1, cookie: 7n, payload: patternBytes(4096) });
  await until(() => device.runningCount === 1);
  const stopped = server.stop({ graceMs: 1000 });
  await expect(Client.open({ path: file })).rejects.toThrow();
  release();
  expect(await client.reply()).toMatchObject({ cookie: 7n, error: 0 });
  expect(await client.rest()).toHaveLength(0);
  await stopped;
  expect(device.bytes.subarray(0, 4096)).toEqual(patternBytes(4096));
  expect(device.unflushedCount).toBe(0);
  expect(device.calls).toMatchObject({ flush: 1, close: 1 });
});

test("requests that have arrived when the server stops get ESHUTDOWN", async () => {
  const device = new MemoryDevice(64 << 20);
  const { path: file, server } = await serve({ "": device });
  const client = await Client.start(file);
  const release = device.hold();
  // The first one takes all the bytes that may be under way, so the others wait behind it.
  const ask = { type: 0, flags: 0, offset: 0, size: 4096 };
  client.send(
    Buffer.concat([
      requestBytes({ ...ask, cookie: 1n, size: 32 << 20 }),
      requestBytes({ ...ask, cookie: 2n }),
      requestBytes({ ...ask, cookie: 3n, type: 3, size: 0 }),
      requestBytes({ ...ask, cookie: 4n }),
    ]),
  );
  await until(() => device.calls.read === 1);
  const stopped = server.stop({ graceMs: 1000 });
  release();
  expect(await client.reply(32 << 20)).toMatchObject({ cookie: 1n, error: 0 });
  for (const cookie of [2n, 3n, 4n]) {
    expect(await client.reply(4096)).toMatchObject({ cookie, error: 108 });
  }
  await stopped;
});

test("a stop cuts clients that do not read their answers, when the time is over", async () => {
  const device = new MemoryDevice(64 << 20);
  const { path: file, server, timers } = await serve({ "": device });
  const client = await Client.start(file);
  client.socket.pause();
  client.ask({ type: 0, size: 32 << 20 });
  await until(() => device.calls.read === 1 && device.runningCount === 0);
  const stopped = server.stop({ graceMs: 77 });
  timers.fire(77);
  await stopped;
  expect(server.connectionCount).toBe(0);
  client.destroy();
});

test("a stop ends handshakes", async () => {
  const { path: file, server } = await serve({ "": new MemoryDevice(4096) });
  const client = await Client.greet(file);
  await client.option(8);
  const stopped = server.stop({ graceMs: 1000 });
  expect(await client.rest()).toHaveLength(0);
  await stopped;
});

test("a stop while an export is opened answers NBD_REP_ERR_SHUTDOWN, and closes it", async () => {
  const device = new MemoryDevice(4096);
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let hasBegun = false;
  const { path: file, server } = await serve({
    open: async (name) => {
      hasBegun = true;
      await opened;
      return { name, device, hasFastZeroes: true, close: () => device.close() };
    },
  });
  const client = await Client.greet(file);
  client.sendOption(7, goBody("slow"));
  await until(() => hasBegun);
  const stopped = server.stop({ graceMs: 1000 });
  open();
  expect((await client.optionReplies())[0]?.type).toBe(0x80000007);
  await stopped;
  expect(device.calls.close).toBe(1);
});

test("connections to one name share one device, which is flushed and closed after the last of them", async () => {
  const device = new MemoryDevice(4096);
  let openCount = 0;
  const { path: file } = await serve({
    open: (name) => {
      openCount++;
      return Promise.resolve({ name, device, hasFastZeroes: true, close: () => device.close() });
    },
  });
  const [one, two] = [await Client.start(file), await Client.start(file)];
  await one.run({ type: 1, payload: patternBytes(512) });
  await one.leave();
  expect(device.calls).toMatchObject({ flush: 0, close: 0 });
  expect((await two.run({ type: 0, size: 512 }))[0]?.payload).toEqual(Buffer.from(patternBytes(512)));
  await two.leave();
  expect(openCount).toBe(1);
  expect(device.calls).toMatchObject({ flush: 1, close: 1 });
  await (await Client.start(file)).leave();
  expect(openCount).toBe(2);
});

test("an export that is being closed is opened again only afterwards", async () => {
  const order: string[] = [];
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const { path: file } = await serve({
    open: (name) => {
      order.push("open");
      return Promise.resolve({
        name,
        device: new MemoryDevice(4096),
        hasFastZeroes: true,
        close: async () => {
          order.push("close");
          await finished;
          order.push("closed");
        },
      });
    },
  });
  const first = await Client.start(file);
  first.ask({ type: 2 });
  await until(() => order.includes("close"));
  const second = Client.start(file);
  finish();
  await (await second).leave();
  expect(order.slice(0, 4)).toEqual(["open", "close", "closed", "open"]);
});

test("a flush that fails at the end is told", async () => {
  const device = new MemoryDevice(4096);
  const { path: file, problems } = await serve({ "": device });
  device.flushError = new LambdaImgError("OVERLAY_UNAVAILABLE", "overlay: EIO");
  await (await Client.start(file)).leave();
  expect(problems).toEqual([{ connection: 0, error: device.flushError }]);
  expect(device.calls.close).toBe(1);
});

test("an unusable key is refused before anybody connects", () => {
  const tls = { certificate: "none", privateKey: "none", isRequired: true };
  expect(() => new NbdServer({ exports: exportsOf({}), tls })).toThrow(
    expect.objectContaining({ code: "USAGE_INVALID" }) as Error,
  );
});

/** Lets the event loop turn until it is so; the test's own time limit ends it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

test("clients of one key share an export, and a name that gets another key is another export", async () => {
  let current = "old";
  const devices = { old: new MemoryDevice(4096), new: new MemoryDevice(8192) };
  const opened: string[] = [];
  const inner = exportsOf(devices);
  const serving = await serve({
    keyOf: (name) => Promise.resolve(name === "gone" ? undefined : current),
    open: (key) => {
      opened.push(key);
      return inner.open(key);
    },
  });
  const first = await Client.start(serving.path, { name: "a" });
  const second = await Client.start(serving.path, { name: "b" });
  current = "new";
  const third = await Client.start(serving.path, { name: "a" });
  expect(opened).toEqual(["old", "new"]);
  for (const client of [first, second, third]) await client.leave();
});

test("a client that is gone has no place among the connections, whatever it has asked for", async () => {
  const device = new MemoryDevice(4 * 65_536);
  const signals = new Set<AbortSignal | undefined>();
  const wait = async <T>(options: CallOptions | undefined): Promise<T> => {
    signals.add(options?.signal);
    return unlessAborted(new Promise<T>(() => undefined), options?.signal);
  };
  device.read = (_offset, _size, options?: CallOptions) => wait(options);
  device.write = (_offset, _bytes, options?: CallOptions) => wait(options);
  device.discard = (_range, options?: CallOptions) => wait(options);
  device.prefetch = (_range, options?: CallOptions) => wait(options);
  device.writeZeroes = (_range, options: { readonly mayDiscard: boolean } & CallOptions) => wait(options);
  const { path: file, server, timers, problems } = await serve({ "": device });
  for (const isStructured of [false, true]) {
    const client = await Client.start(file, { isStructured });
    client.ask({ type: 0, size: 3 * 65_536 });
    client.ask({ type: 1, payload: Uint8Array.of(1) });
    for (const type of [4, 5, 6]) client.ask({ type, size: 1 });
    client.socket.end();
    while (!timers.delays.includes(LINGER_MS)) await new Promise((resolve) => setImmediate(resolve));
    expect(server.connectionCount).toBe(1);
    timers.fire(LINGER_MS);
    while (server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect([signals.size, timers.delays, device.calls.close]).toEqual([2, [], 2]);
  expect(problems.every(({ error }) => isLambdaImgError(error, "CANCELLED"))).toBe(true);
});
