/** Registries whose connections end anywhere, in any framing: content comes whole, or not at all. FUZZ_RUNS and FUZZ_SEED change the default. */
import net, { type AddressInfo, type Socket } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { streamContent } from "../../src/registry/content-stream.ts";
import { RETRY_DEFAULTS } from "../../src/registry/retry.ts";
import { TestPace } from "../support/faulty-proxy.ts";
import { randomOf } from "../support/random.ts";
import { get, transport } from "./_transport.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 60);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const MIB = 1 << 20;
const CONTENT = Buffer.from(
  Uint32Array.from({ length: MIB }, (_, index) => Math.imul(index, 2_654_435_761)).buffer,
);

let random: () => number;
let sizeBytes = 0;
let cutChance = 0;
const below = (end: number): number => Math.floor(random() * end);
const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => undefined);
  // A connection that is kept brings one request after another.
  socket.on("data", (bytes) => void answer(socket, bytes.toString("latin1")));
});

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(() => {
  server.close();
});

/** From the byte that is asked for, from the first one, or not at all; up to the end, or less. */
async function answer(socket: Socket, request: string): Promise<void> {
  const wanted = Number(/range: bytes=(\d+)-/i.exec(request)?.[1] ?? 0);
  if (wanted > 0 && random() < 0.1) {
    socket.write("HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  const from = random() < 0.2 ? 0 : wanted;
  const to = from > 0 && random() < 0.3 ? Math.min(sizeBytes, from + 1 + below(2 * MIB)) : sizeBytes;
  const body = CONTENT.subarray(from, to);
  const status =
    from === 0
      ? "200 OK\r\n"
      : `206 Partial Content\r\nContent-Range: bytes ${from}-${to - 1}/${sizeBytes}\r\n`;
  const framings = [
    () => [`Content-Length: ${body.length}\r\n\r\n`, body],
    () => ["Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", ...chunksOf(body), "0\r\nX: y\r\n\r\n"],
    () => ["Connection: close\r\n\r\n", body],
  ];
  const which = [0, 0, 0, 1, 2][below(5)]!;
  const parts = [`HTTP/1.1 ${status}X: ${"x".repeat(below(9000))}\r\n`, ...framings[which]!()];
  const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const isCut = random() < cutChance;
  const sent = isCut ? whole.subarray(0, below(random() < 0.3 ? 10_000 : whole.length)) : whole;
  const stepBytes = [sent.length, 70_000, 700_000][below(3)]!;
  for (let at = 0; at < sent.length && !socket.destroyed;) {
    const step = at < 30 ? 1 : 1 + below(stepBytes);
    socket.write(sent.subarray(at, at + step));
    at += step;
    if (random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
  }
  if (isCut && random() < 0.5) socket.resetAndDestroy();
  else if (isCut || which === 2) socket.end();
}

function* chunksOf(body: Uint8Array): Generator<Uint8Array | string> {
  for (let at = 0; at < body.length;) {
    const piece = body.subarray(at, at + 1 + below(300_000));
    yield `${piece.length.toString(16)};a=b\r\n`;
    yield piece;
    yield "\r\n";
    at += piece.length;
  }
}

test("what a registry sends in pieces comes as it is, as far as it comes", async () => {
  const through = transport();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (let run = 0; run < RUNS; run++) {
    random = randomOf(SEED + run);
    sizeBytes = [1 + below(3000), MIB - 1 + below(3), 1 + below(CONTENT.length)][below(3)]!;
    cutChance = [0, 0.3, 0.6][below(3)]!;
    const open = (offset: number): ReturnType<typeof get> =>
      get(through, url, { headers: offset > 0 ? { range: `bytes=${offset}-` } : {} });
    const settings = { ...RETRY_DEFAULTS, attemptCountMax: 20, pace: new TestPace() };
    let at = 0;
    let isWhole = true;
    try {
      for await (const piece of streamContent({ sizeBytes, label: "it", open }, settings, undefined)) {
        // Lent until the next one is asked for: it has to last while its reader is busy.
        while (random() < 0.8) await new Promise((resolve) => setImmediate(resolve));
        const isRight = Buffer.compare(piece, CONTENT.subarray(at, at + piece.length)) === 0;
        expect(isRight ? "right" : `FUZZ_SEED=${SEED + run}: wrong from ${at} on`).toBe("right");
        at += piece.length;
      }
    } catch (error) {
      if (cutChance === 0 || !isLambdaImgError(error, "REGISTRY_UNAVAILABLE")) throw error;
      isWhole = false;
    }
    if (isWhole) expect(at).toBe(sizeBytes);
  }
});
