import { expect, test } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { streamContent } from "../../src/registry/content-stream.ts";
import { RETRY_DEFAULTS } from "../../src/registry/retry.ts";
import type { HttpResponse } from "../../src/registry/transport.ts";
import { ranged, TestPace } from "../support/faulty-proxy.ts";

const CONTENT = Uint8Array.from({ length: 500_000 }, (_, index) => (index * 7 + (index >> 8)) & 255);
const PIECE_BYTES = 10_000;

/** One connection's behaviour. */
interface Step {
  readonly cutAfter?: number;
  readonly pieceBytes?: number;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly isRangeIgnored?: boolean;
}

class Server {
  readonly offsets: number[] = [];
  openCount = 0;
  readonly #steps: readonly Step[];

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  readonly open = (offsetBytes: number): Promise<HttpResponse> => {
    const step = this.#steps[this.offsets.length] ?? {};
    this.offsets.push(offsetBytes);
    const range = offsetBytes === 0 || step.isRangeIgnored === true ? undefined : `bytes=${offsetBytes}-`;
    const { status, headers, bytes } = ranged(CONTENT, range);
    this.openCount++;
    let isClosed = false;
    return Promise.resolve({
      status: step.status ?? status,
      url: new URL("https://r.example/v2/x/blobs/y"),
      header: (name: string) => ({ ...headers, ...step.headers })[name],
      body: pieces(bytes, step),
      close: () => {
        if (!isClosed) this.openCount--;
        isClosed = true;
      },
    });
  };
}

async function* pieces(
  bytes: Uint8Array,
  { cutAfter = Infinity, pieceBytes = PIECE_BYTES }: Step = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (at >= cutAfter) throw new LambdaImgError("REGISTRY_UNAVAILABLE", "cut");
    yield bytes.subarray(at, Math.min(at + pieceBytes, cutAfter));
    await Promise.resolve();
  }
}

function stream(
  server: Server,
  use: { pace?: TestPace; signal?: AbortSignal; sizeBytes?: number } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const source = { sizeBytes: use.sizeBytes ?? CONTENT.length, label: "layer 0", open: server.open };
  return streamContent(source, { ...RETRY_DEFAULTS, pace: use.pace ?? new TestPace() }, use.signal);
}

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  for await (const piece of bytes) found.push(piece);
  return concatBytes(...found);
}

async function expectContent(server: Server): Promise<void> {
  expect(Buffer.compare(await collect(stream(server)), CONTENT)).toBe(0);
  expect(server.openCount).toBe(0);
}

test("comes as it is", async () => {
  const server = new Server([]);
  await expectContent(server);
  expect(server.offsets).toEqual([0]);
});

test.each([200_000, 130_000, 300_001])("comes as it is in pieces of %i bytes", async (pieceBytes) => {
  await expectContent(new Server([{ pieceBytes }]));
});

test("goes on where it broke off, again and again", async () => {
  const server = new Server([{ cutAfter: 0 }, { cutAfter: 123_456 }, { cutAfter: 1 }, { cutAfter: 100_000 }]);
  await expectContent(server);
  expect(server.offsets).toEqual([0, 0, 123_456, 123_457, 223_457]);
});

test("goes on where a body ends too early without an error", async () => {
  // No Content-Length, no chunks: the end of the connection is the end of the body.
  const early = CONTENT.length - 1;
  const server = new Server([{ headers: { "content-range": `bytes 0-${early}/*` } }]);
  const open = server.open;
  let isFirst = true;
  const cut = async (offsetBytes: number): Promise<HttpResponse> => {
    const response = await open(offsetBytes);
    if (!isFirst) return response;
    isFirst = false;
    return { ...response, header: () => undefined, body: pieces(CONTENT.subarray(0, 70_000)) };
  };
  const source = { sizeBytes: CONTENT.length, label: "layer 0", open: cut };
  const bytes = await collect(streamContent(source, { ...RETRY_DEFAULTS, pace: new TestPace() }, undefined));
  expect(Buffer.compare(bytes, CONTENT)).toBe(0);
  expect(server.offsets).toEqual([0, 70_000]);
});

test("a server whose bodies always end too early is given up", async () => {
  const server = new Server([]);
  const open = async (offsetBytes: number): Promise<HttpResponse> => ({
    ...(await server.open(offsetBytes)),
    body: pieces(new Uint8Array(1)),
  });
  const source = { sizeBytes: CONTENT.length, label: "layer 0", open };
  const bytes = streamContent(source, { ...RETRY_DEFAULTS, pace: new TestPace() }, undefined);
  await expect(collect(bytes)).rejects.toMatchObject({
    code: "REGISTRY_UNAVAILABLE",
    message: "layer 0: broken off after 5 of 500000 bytes",
  });
});

test("a server that knows no ranges is asked for all, and what was there is skipped", async () => {
  const server = new Server([{ cutAfter: 123_456 }, { isRangeIgnored: true, cutAfter: 200_001 }]);
  await expectContent(server);
  expect(server.offsets).toEqual([0, 123_456, 200_001]);
});

test("a server that refuses the range is asked for all", async () => {
  const server = new Server([{ cutAfter: 123_456 }, { status: 416 }]);
  await expectContent(server);
  expect(server.offsets).toEqual([0, 123_456, 0]);
});

test.each([
  "",
  "bytes 123455-499999/500000",
  "bytes 123457-499999/500000",
  "bytes 123456-499999/500001",
  "bytes 123456-500000/*",
  "bytes 123456-1/*",
  "bytes */500000",
  "octets 123456-499999/500000",
])("a part that is not the one asked for is refused: %j", async (field) => {
  const server = new Server([{ cutAfter: 123_456 }, { headers: { "content-range": field } }]);
  await expect(collect(stream(server))).rejects.toMatchObject({ code: "REGISTRY_INVALID" });
  expect(server.openCount).toBe(0);
});

test.each([
  ["bytes 123456-499999/*", [0, 123_456]],
  ["bytes 123456-400000/500000", [0, 123_456]],
] as const)("a part that says less is taken: %j", async (field, offsets) => {
  const server = new Server([{ cutAfter: 123_456 }, { headers: { "content-range": field } }]);
  await expectContent(server);
  expect(server.offsets).toEqual(offsets);
});

test("another size is told before a byte of it is used", async () => {
  const server = new Server([]);
  await expect(stream(server, { sizeBytes: 499_999 }).next()).rejects.toMatchObject({
    code: "SIZE_MISMATCH",
    details: { expected: 499_999, found: 500_000 },
  });
  expect(server.openCount).toBe(0);
});

test("failures without progress use up the budget", async () => {
  const pace = new TestPace();
  const server = new Server(Array.from({ length: 9 }, () => ({ cutAfter: 10 })));
  await expect(collect(stream(server, { pace }))).rejects.toMatchObject({ code: "REGISTRY_UNAVAILABLE" });
  expect(server.offsets).toEqual([0, 10, 20, 30, 40]);
  expect(pace.waitsMs).toEqual([500, 1000, 2000, 4000]);
});

test("failures with progress do not", async () => {
  const pace = new TestPace();
  const server = new Server(Array.from({ length: 7 }, () => ({ cutAfter: 70_000 })));
  expect(await collect(stream(server, { pace }))).toHaveLength(CONTENT.length);
  expect(pace.waitsMs).toEqual(Array.from({ length: 7 }, () => 500));
});

test("whoever stops early closes the connection", async () => {
  const server = new Server([]);
  const bytes = stream(server);
  await bytes.next();
  expect(server.openCount).toBe(1);
  await bytes.return();
  expect(server.openCount).toBe(0);
});

test("cancelled while it waits to try again", async () => {
  const abort = new AbortController();
  const server = new Server([{ cutAfter: 0 }]);
  const pace = new TestPace();
  const bytes = stream(server, { signal: abort.signal, pace });
  abort.abort();
  await expect(collect(bytes)).rejects.toMatchObject({ code: "CANCELLED" });
  expect(pace.waitsMs).toEqual([]);
});

test("nothing is read of content without bytes but its head", async () => {
  const server = new Server([{ headers: { "content-length": "0" } }]);
  const open = async (offsetBytes: number): Promise<HttpResponse> => ({
    ...(await server.open(offsetBytes)),
    body: pieces(new Uint8Array(0)),
  });
  const source = { sizeBytes: 0, label: "layer 0", open };
  const bytes = streamContent(source, { ...RETRY_DEFAULTS, pace: new TestPace() }, undefined);
  expect(await collect(bytes)).toHaveLength(0);
  expect(server.offsets).toEqual([0]);
});
