/** What a server tells whoever counts: every connection and every request, each once. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { NBD_COMMAND_NAMES, type EndedRequest, type NbdObserver } from "../../src/nbd/observer.ts";
import { MemoryDevice, patternBytes } from "./_memory-device.ts";
import { Client, requestBytes, type Ask } from "./client.ts";
import { serve } from "./serving.ts";

const PIECE = 524_288;
const SIZE = 4 * PIECE;

class Notes implements NbdObserver {
  readonly ended: EndedRequest[] = [];
  begunCount = 0;
  connectedCount = 0;
  disconnectedCount = 0;
  turnedAwayCount = 0;

  connected(): void {
    this.connectedCount++;
  }
  disconnected(): void {
    this.disconnectedCount++;
  }
  turnedAway(): void {
    this.turnedAwayCount++;
  }
  requestBegan(): void {
    this.begunCount++;
  }
  requestEnded(request: EndedRequest): void {
    this.ended.push(request);
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

const fullDevice = (): MemoryDevice => new MemoryDevice(SIZE).fill(0, patternBytes(SIZE));

test.each<[string, Ask, Omit<EndedRequest, "seconds">]>([
  ["a small read", { type: 0, size: 4096 }, { command: "read", outcome: "ok", payloadBytes: 4096 }],
  ["a read in pieces", { type: 0, size: SIZE }, { command: "read", outcome: "ok", payloadBytes: SIZE }],
  ["an empty read", { type: 0 }, { command: "read", outcome: "ok", payloadBytes: 0 }],
  [
    "a write",
    { type: 1, payload: new Uint8Array(512) },
    { command: "write", outcome: "ok", payloadBytes: 512 },
  ],
  ["a flush", { type: 3 }, { command: "flush", outcome: "ok", payloadBytes: 0 }],
  ["a trim", { type: 4, size: 4096 }, { command: "trim", outcome: "ok", payloadBytes: 0 }],
  ["a prefetch", { type: 5, size: 4096 }, { command: "cache", outcome: "ok", payloadBytes: 0 }],
  ["zeroes", { type: 6, size: 4096 }, { command: "write_zeroes", outcome: "ok", payloadBytes: 0 }],
  [
    "a question for holes",
    { type: 7, size: SIZE },
    { command: "block_status", outcome: "ok", payloadBytes: 0 },
  ],
  ["a number that is no command", { type: 99 }, { command: "unknown", outcome: "error", payloadBytes: 0 }],
  [
    "a read past the end",
    { type: 0, offset: SIZE, size: 1 },
    { command: "read", outcome: "error", payloadBytes: 0 },
  ],
  [
    "a write past the end",
    { type: 1, offset: SIZE, payload: new Uint8Array(9) },
    { command: "write", outcome: "error", payloadBytes: 0 },
  ],
])("%s is told once, with its command, outcome and bytes", async (_name, ask, expected) => {
  const observer = new Notes();
  const { path } = await serve({ "": fullDevice() }, { observer });
  const client = await Client.start(path, { isStructured: true, hasContext: true });
  await client.run(ask);
  await until(() => observer.ended.length === 1);
  expect(observer.ended[0]).toMatchObject(expected);
  expect(observer.ended[0]?.seconds).toBeGreaterThanOrEqual(0);
  await client.leave();
  expect(observer).toMatchObject({ begunCount: 1, connectedCount: 1, turnedAwayCount: 0 });
});

test.each([
  ["all of a read", 4096],
  ["one piece of a read", SIZE],
])("a device that fails %s makes it an error", async (_name, size) => {
  const observer = new Notes();
  const device = fullDevice();
  device.failAt(0, 1, new LambdaImgError("CHUNK_CORRUPT", "damaged"));
  const { path } = await serve({ "": device }, { observer });
  const client = await Client.start(path, { isStructured: true });
  await client.run({ type: 0, size });
  await until(() => observer.ended.length === 1);
  expect(observer.ended[0]).toMatchObject({ command: "read", outcome: "error", payloadBytes: 0 });
  await client.leave();
});

test("a request under way has begun and not ended", async () => {
  const observer = new Notes();
  const device = fullDevice();
  const { path } = await serve({ "": device }, { observer });
  const client = await Client.start(path);
  const letGo = device.hold();
  client.ask({ type: 0, size: 4096 });
  await until(() => device.runningCount === 1);
  expect(observer).toMatchObject({ begunCount: 1, ended: [] });
  letGo();
  await client.reply(4096);
  await until(() => observer.ended.length === 1);
  await client.leave();
});

test("connections are told when they come, when they go, and when there are too many", async () => {
  const observer = new Notes();
  const { path } = await serve({ "": fullDevice() }, { observer, connectionCountMax: 1 });
  const first = await Client.start(path);
  const second = await Client.open({ path });
  await second.rest();
  expect(observer).toMatchObject({ connectedCount: 1, turnedAwayCount: 1, disconnectedCount: 0 });
  await first.leave();
  await until(() => observer.disconnectedCount === 1);
  expect(observer).toMatchObject({ connectedCount: 1, turnedAwayCount: 1, begunCount: 0 });
});

test("whatever a client asks, and wherever it breaks off, each request that begins ends", async () => {
  const observer = new Notes();
  const { path } = await serve({ "": fullDevice() }, { observer });
  const ask = fc.record({
    type: fc.nat(9).filter((type) => type !== 2),
    flags: fc.nat(31),
    offset: fc.nat(SIZE),
    size: fc.nat(3 * PIECE),
  });
  let connections = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(ask, { maxLength: 20 }), fc.nat(100), async (asks, cutBytes) => {
      const client = await Client.start(path, { isStructured: true, hasContext: true });
      connections++;
      const bytes = Buffer.concat(asks.map((each) => requestBytes({ cookie: 1n, ...each })));
      client.send(bytes.subarray(0, Math.max(0, bytes.length - cutBytes)));
      client.socket.end();
      await client.rest();
      await until(() => observer.disconnectedCount === connections);
      expect(observer.ended.length).toBe(observer.begunCount);
    }),
    { numRuns: 40 },
  );
  expect(observer.connectedCount).toBe(connections);
  expect(observer.ended.every(({ command }) => NBD_COMMAND_NAMES.includes(command))).toBe(true);
});
