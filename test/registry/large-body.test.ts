/** Bodies that do not come by node:http, from servers that write what and when a test says. */
import net, { type AddressInfo, type Socket } from "node:net";

import { describe, expect, test } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { streamContent } from "../../src/registry/content-stream.ts";
import { RETRY_DEFAULTS } from "../../src/registry/retry.ts";
import type { HttpResponse } from "../../src/registry/transport.ts";
import { ranged, startFaultyProxy, TestPace } from "../support/faulty-proxy.ts";
import { cleanups, describeTls, failure, get, serve, transport } from "./_transport.ts";

const SIZE_BYTES = 5_000_001;
const CONTENT = Buffer.from(
  Uint8Array.from({ length: SIZE_BYTES }, (_, index) => (index * 7 + (index >> 8) + (index >> 16)) & 255),
);
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${SIZE_BYTES}\r\n\r\n`;

/** A server that answers each request by hand; gives its port and how often it was connected to. */
async function answer(write: (socket: Socket) => void | Promise<void>): Promise<{
  url: string;
  connections: Socket[];
}> {
  const connections: Socket[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", () => void write(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, connections };
}

/** The body's bytes, copied: they are lent. */
async function read(response: HttpResponse, foundPieces: Uint8Array[] = []): Promise<Uint8Array> {
  for await (const piece of response.body) foundPieces.push(piece.slice());
  return concatBytes(...foundPieces);
}

function expectContent(found: Uint8Array): void {
  expect(found.length).toBe(SIZE_BYTES);
  expect(Buffer.compare(found, CONTENT)).toBe(0);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Cuts bytes into pieces of the lengths, the last of which goes on to the end. */
function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array, void, undefined> {
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    if (at < bytes.length) yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe("a large body", () => {
  test.each([
    ["in one write with its head", []],
    ["after its head", [HEAD.length]],
    ["with one byte along with the head", [HEAD.length + 1]],
    ["after a head in parts", [10, 20, 3, HEAD.length - 33]],
    ["byte by byte at first", [HEAD.length, ...new Array<number>(50).fill(1)]],
    ["in odd parts", [HEAD.length, ...new Array<number>(300).fill(8191)]],
  ])("comes whole %s", async (_name, lengths) => {
    const server = await answer(async (socket) => {
      for (const part of cut(Buffer.concat([Buffer.from(HEAD), CONTENT]), lengths)) {
        socket.write(part);
        await turn();
      }
    });
    expectContent(await read(await get(transport(), server.url)));
  });

  test("comes whole to a reader that is slower than its server", async () => {
    const server = await answer((socket) => void socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT])));
    const response = await get(transport(), server.url);
    const pieces: Uint8Array[] = [];
    for await (const piece of response.body) {
      for (let count = 0; count < 3; count++) await turn();
      pieces.push(piece.slice());
    }
    expectContent(concatBytes(...pieces));
  });

  test("comes whole where the server closes right behind it", async () => {
    const server = await answer((socket) => void socket.end(Buffer.concat([Buffer.from(HEAD), CONTENT])));
    const response = await get(transport(), server.url);
    await turn();
    expectContent(await read(response));
  });

  test("ends where its head said, whatever comes behind it", async () => {
    const server = await answer((socket) => {
      socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT, Buffer.from("HTTP/1.1 200 OK\r\n\r\nmore")]));
    });
    expectContent(await read(await get(transport(), server.url)));
  });

  test("is lent from few rooms, which the next pieces fill again", async () => {
    const server = await answer((socket) => void socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT])));
    const response = await get(transport(), server.url);
    const memory = new Set<ArrayBufferLike>();
    for await (const piece of response.body) {
      await turn();
      if (piece.buffer.byteLength === 512 * 1024) memory.add(piece.buffer);
    }
    expect(memory.size).toBeGreaterThan(0);
    expect(memory.size).toBeLessThanOrEqual(5);
  });

  test("has a connection that nothing else uses, and small ones keep theirs", async () => {
    const server = await answer((socket) => void socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT])));
    const through = transport();
    for (let run = 0; run < 2; run++) expectContent(await read(await get(through, server.url)));
    expect(server.connections.length).toBe(2);
  });

  test("comes over a connection that has served a small one", async () => {
    let connectionCount = 0;
    const server = await serve((request, response) => {
      if (request.url === "/small") response.end("small");
      else response.end(CONTENT);
    });
    server.server.on("connection", () => connectionCount++);
    const through = transport();
    await read(await get(through, `${server.origin}/small`));
    expectContent(await read(await get(through, `${server.origin}/large`)));
    expect(connectionCount).toBe(1);
  });

  test("without a length comes by node:http", async () => {
    const server = await serve((_request, response) => {
      response.write(CONTENT.subarray(0, 10));
      response.end(CONTENT.subarray(10));
    });
    expectContent(await read(await get(transport(), server.origin)));
  });

  test("whose connection breaks gives what had come before", async () => {
    const server = await answer((socket) => {
      socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT.subarray(0, 3_000_000)]), () => {
        socket.destroy();
      });
    });
    const pieces: Uint8Array[] = [];
    const error = await failure(read(await get(transport(), server.url), pieces));
    expect(error).toMatchObject({ code: "REGISTRY_UNAVAILABLE", details: { reason: "ECONNRESET" } });
    const found = concatBytes(...pieces);
    expect(Buffer.compare(found, CONTENT.subarray(0, found.length))).toBe(0);
    expect(found.length).toBe(3_000_000);
  });

  test("that breaks off again and again goes on by ranges, each of them large but for the last", async () => {
    const cuts = [1_500_000, 600_000, 1_048_576, 1_100_000];
    const server = await startFaultyProxy(
      ({ headers }) => ranged(CONTENT, headers.range),
      (_request, index) => {
        const afterBytes = cuts[index];
        return afterBytes === undefined ? undefined : { kind: "cut", afterBytes };
      },
    );
    cleanups.push(() => server.close());
    const through = transport();
    const open = (offsetBytes: number): Promise<HttpResponse> =>
      get(through, server.origin, offsetBytes === 0 ? {} : { headers: { range: `bytes=${offsetBytes}-` } });
    const source = { sizeBytes: SIZE_BYTES, label: "layer 0", open };
    const pieces: Uint8Array[] = [];
    const stream = streamContent(source, { ...RETRY_DEFAULTS, pace: new TestPace() }, undefined);
    for await (const piece of stream) pieces.push(piece.slice());
    expectContent(concatBytes(...pieces));
    const starts = cuts.map((_, index) => cuts.slice(0, index + 1).reduce((sum, cut) => sum + cut, 0));
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      ...starts.map((start) => `bytes=${start}-`),
    ]);
  });

  test("that stalls is given up", async () => {
    const server = await answer((socket) => void socket.write(HEAD + "x".repeat(200_000)));
    const timeouts = { connectMs: 5000, idleMs: 60 };
    const error = await failure(read(await get(transport({ timeouts }), server.url)));
    expect(error).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: expect.stringMatching(/: nothing came for 0.06 s$/) as string,
    });
  });

  test("that is cancelled ends at once", async () => {
    const abort = new AbortController();
    const server = await answer((socket) => void socket.write(HEAD + "x".repeat(10)));
    const response = await get(transport(), server.url, { signal: abort.signal });
    await response.body.next();
    const next = failure(response.body.next());
    abort.abort();
    expect(await next).toMatchObject({ code: "CANCELLED" });
  });

  test("that is closed early closes its connection", async () => {
    const server = await answer((socket) => void socket.write(Buffer.concat([Buffer.from(HEAD), CONTENT])));
    const response = await get(transport(), server.url);
    await response.body.next();
    const [socket] = server.connections;
    const closed = new Promise((resolve) => socket?.once("close", resolve));
    await response.body.return();
    await closed;
  });
});

describeTls("a large body over TLS", (certificates) => {
  test("comes whole, past the parser as well", async () => {
    const server = await serve((_request, response) => void response.end(CONTENT), certificates().server);
    let connectionCount = 0;
    server.server.on("secureConnection", () => connectionCount++);
    const through = transport({ certificateAuthorities: [certificates().ca] });
    for (let run = 0; run < 2; run++) expectContent(await read(await get(through, server.origin)));
    expect(connectionCount).toBe(2);
  });
});
