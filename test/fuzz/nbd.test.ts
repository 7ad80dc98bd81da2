/** Clients that say anything: the server lives, forgets them, and serves the one that behaves. */
import { beforeEach, expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { Client, contextBody, goBody, requestBytes, type Ask } from "../nbd/client.ts";
import { MemoryDevice, patternBytes, serve, type Serving } from "../nbd/serving.ts";
import { randomBelow } from "../support/random.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 400);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const DEVICE_BYTES = 1 << 20;

let serving: Serving;
let device: MemoryDevice;
let good: Client;

beforeEach(async () => {
  device = new MemoryDevice(DEVICE_BYTES).fill(200_000, patternBytes(100_000));
  const calm = new MemoryDevice(4096).fill(0, patternBytes(4096));
  serving = await serve({ "": device, calm });
  good = await Client.start(serving.path, { name: "calm", isStructured: true });
});

function randomBytes(random: (below: number) => number, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => random(256)));
}

function optionBytes(option: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.write("IHAVEOPT", "latin1");
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(body.length, 12);
  return Buffer.concat([head, body]);
}

function commandBytes({ type, flags = 0, cookie = 1n, offset = 0, size = 0, payload }: Ask): Buffer {
  const head = requestBytes({ type, flags, cookie, offset, size: payload?.length ?? size });
  return Buffer.concat([head, payload ?? Buffer.alloc(0)]);
}

const HANDSHAKE = [
  Buffer.from([0, 0, 0, 3]),
  optionBytes(8),
  optionBytes(3),
  optionBytes(9, contextBody("", [])),
  optionBytes(10, contextBody("", ["base:allocation"])),
  optionBytes(6, goBody("", [0, 1, 2, 3])),
  optionBytes(7, goBody("", [3])),
];
const COMMANDS = [
  commandBytes({ type: 0, size: 512 }),
  commandBytes({ type: 1, flags: 1, offset: 7, payload: patternBytes(100) }),
  commandBytes({ type: 6, offset: 4096, size: 70_000 }),
  commandBytes({ type: 4, offset: 100, size: 9000 }),
  commandBytes({ type: 0, offset: 1, size: 600_000 }),
  commandBytes({ type: 5, size: 4096 }),
  commandBytes({ type: 7, size: DEVICE_BYTES }),
  commandBytes({ type: 3 }),
  commandBytes({ type: 2 }),
];
const SESSION = [...HANDSHAKE, ...COMMANDS];

/** Says it all, ends its side, and reads until the server has closed. */
async function say(...parts: readonly Uint8Array[]): Promise<Buffer> {
  const client = await Client.open({ path: serving.path });
  client.send(...parts);
  client.socket.end();
  return client.rest();
}

/** Nothing is left of the others, nothing but what clients can cause has been told, and the good one is served. */
async function expectCalm(): Promise<void> {
  while (serving.server.connectionCount > 1) await new Promise((resolve) => setImmediate(resolve));
  expect(device.runningCount).toBe(0);
  const others = serving.problems.filter(({ error }) => !isLambdaImgError(error, "NBD_PROTOCOL"));
  expect(others).toEqual([]);
  const [reply] = await good.run({ type: 0, size: 4096 });
  expect(reply?.payload.subarray(8)).toEqual(Buffer.from(patternBytes(4096)));
  // Of timers, too: one for each connection that is closing, and none of those is left.
  expect(serving.timers.delays).toEqual([]);
}

test("the session that the others are made of is a good one", async () => {
  const said = await say(...SESSION);
  expect(said.length).toBeGreaterThan(100_000);
  expect(serving.problems).toEqual([]);
  expect(device.calls).toMatchObject({ write: 1, writeZeroes: 1, discard: 1, prefetch: 1, close: 1 });
  await expectCalm();
});

test("a session that is cut at any byte", async () => {
  const whole = Buffer.concat(SESSION);
  for (let size = 0; size < whole.length; size++) {
    await say(whole.subarray(0, size));
    if (size % 50 === 0) await expectCalm();
  }
  expect(serving.problems).toEqual([]);
  await expectCalm();
});

test("a session in pieces of any size is understood", async () => {
  const whole = Buffer.concat(SESSION);
  const expected = await say(whole);
  for (const size of [1, 3, 27, 29]) {
    const client = await Client.open({ path: serving.path });
    for (let at = 0; at < whole.length; at += size) {
      client.send(whole.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.rest()).length).toBe(expected.length);
  }
  await expectCalm();
});

test("a client that leaves at any byte without a word", async () => {
  const whole = Buffer.concat(SESSION);
  for (let size = 0; size < whole.length; size += 7) {
    const client = await Client.open({ path: serving.path });
    client.send(whole.subarray(0, size));
    client.destroy();
  }
  await expectCalm();
});

test(`random bytes in every phase, seed ${SEED}`, async () => {
  const random = randomBelow(SEED);
  for (let round = 0; round < RUNS; round++) {
    const start = [[], HANDSHAKE.slice(0, 1), HANDSHAKE.slice(0, 1 + random(6)), HANDSHAKE][random(4)] ?? [];
    await say(...start, randomBytes(random, 1 + random(400)));
    if (round % 50 === 0) await expectCalm();
  }
  await expectCalm();
});

test(`sessions with changed bytes, seed ${SEED}`, async () => {
  const random = randomBelow(SEED);
  for (let round = 0; round < RUNS; round++) {
    const bytes = Buffer.concat(SESSION);
    for (let count = 1 + random(4); count > 0; count--) {
      const at = random(bytes.length);
      bytes[at] = [0, 255, random(256), (bytes[at] ?? 0) ^ (1 << random(8))][random(4)] ?? 0;
    }
    await say(bytes);
    if (round % 50 === 0) await expectCalm();
  }
  await expectCalm();
});

test(`sessions whose messages are left out, doubled and exchanged, seed ${SEED}`, async () => {
  const random = randomBelow(SEED);
  for (let round = 0; round < RUNS; round++) {
    const parts = [...SESSION];
    for (let count = 1 + random(3); count > 0; count--) {
      const part = SESSION[random(SESSION.length)] ?? Buffer.alloc(0);
      parts.splice(random(parts.length + 1), random(2), part, ...(random(3) === 0 ? [part, part] : []));
    }
    await say(...parts);
    if (round % 50 === 0) await expectCalm();
  }
  await expectCalm();
});

test(`valid requests with any numbers in them, seed ${SEED}`, async () => {
  const random = randomBelow(SEED);
  const sizes = [0, 1, 511, 4096, DEVICE_BYTES, DEVICE_BYTES + 1, 32 << 20, (32 << 20) + 1, 0xffffffff];
  const client = await Client.start(serving.path, { isStructured: true, hasContext: true });
  for (let round = 0; round < RUNS; round++) {
    // Not WRITE, whose number is that of the bytes behind it, and not DISC.
    const type = [0, 3, 4, 5, 6, 7, 8, 200][random(8)] ?? 0;
    const offset = BigInt(sizes[random(sizes.length)] ?? 0) << BigInt([0, 0, 1, 31][random(4)] ?? 0);
    const flags = [0, 0, 1, 2, 4, 8, 16, random(65536)][random(8)] ?? 0;
    const cookie = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
    client.ask({ type, offset, flags, cookie, size: sizes[random(sizes.length)] ?? 0 });
    for (const reply of await client.replies()) {
      expect(reply.cookie).toBe(cookie);
      expect([0, 1, 5, 22, 28, 75, 95]).toContain(reply.error);
    }
  }
  await client.leave();
  expect(serving.problems).toEqual([]);
  await expectCalm();
});

test("a flood of requests is held to what may be under way", async () => {
  const client = await Client.start(serving.path);
  client.socket.pause();
  const release = device.hold();
  const flood = Buffer.concat(Array.from({ length: 5000 }, () => commandBytes({ type: 0, size: 65536 })));
  client.send(flood);
  while (device.runningCount < 128) await new Promise((resolve) => setImmediate(resolve));
  await expect(good.run({ type: 0, size: 512 })).resolves.toHaveLength(1);
  release();
  client.destroy();
  while (serving.server.connectionCount > 1) await new Promise((resolve) => setImmediate(resolve));
  expect(device.runningCountMax).toBe(128);
  await expectCalm();
});
