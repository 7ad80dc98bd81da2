/** What the status server says, to whom, and what it does not put up with. */
import { once } from "node:events";
import { lstatSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";
import path from "node:path";

import { describe, expect, onTestFinished, test } from "vitest";

import { StatusServer } from "../../src/serve/status-server.ts";
import { makeFolder } from "../nbd/serving.ts";
import { noCounts } from "./_counts.ts";

interface Listening {
  readonly server: StatusServer;
  readonly port: number;
  readonly problems: unknown[];
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Time stands still unless the test moves it. */
let nowMs = 0;

function makeServer(counts = noCounts()): { readonly server: StatusServer; readonly problems: unknown[] } {
  const problems: unknown[] = [];
  const onProblem = (problem: unknown): unknown => problems.push(problem);
  const server = new StatusServer({ counts, onProblem, nowMs: () => nowMs });
  onTestFinished(() => server.close());
  return { server, problems };
}

async function listen(host = "127.0.0.1", counts = noCounts()): Promise<Listening> {
  const made = makeServer(counts);
  const { port } = await made.server.listenTcp({ host, port: 0 });
  return { ...made, port };
}

interface Ask {
  readonly port?: number;
  readonly socketPath?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(options: Ask, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.once("end", () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    request.once("error", reject);
    request.end(body);
  });
}

/** Says something on a connection of its own. */
async function converse(port: number, text: string): Promise<{ socket: Socket; ended: Promise<string> }> {
  const socket = connect({ host: "127.0.0.1", port });
  let said = "";
  socket.setEncoding("utf8").on("data", (piece: string) => {
    said += piece;
  });
  socket.on("error", () => undefined); // The end is what counts.
  const ended = once(socket, "close").then(() => said);
  await once(socket, "connect");
  socket.write(text);
  onTestFinished(() => {
    socket.destroy();
  });
  return { socket, ended };
}

describe("it answers", () => {
  test.each([
    ["/metrics", "text/plain; version=0.0.4; charset=utf-8", /^# HELP lambda_img_chunk_lookups_total /],
    ["/metrics?name=x", "text/plain; version=0.0.4; charset=utf-8", /^# HELP /],
    ["/status.json", "application/json", /^\{"uptimeSeconds":1,.*\}\n$/],
    ["/", "text/html; charset=utf-8", /^<!doctype html>/],
  ])("%s", async (path, mediaType, text) => {
    const { port } = await listen();
    const answer = await ask({ port, path });
    expect(answer).toMatchObject({ status: 200, text: expect.stringMatching(text) as string });
    expect(answer.headers).toMatchObject({
      "content-type": mediaType,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "content-security-policy": expect.stringContaining("default-src 'none'") as string,
    });
    expect(answer.headers).not.toHaveProperty("set-cookie");
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    const head = await ask({ port, path, method: "HEAD" });
    expect(head).toMatchObject({ status: 200, text: "" });
    expect(head.headers["content-length"]).toBe(String(new TextEncoder().encode(answer.text).length));
  });

  test("one request of a connection, and closes", async () => {
    const { port } = await listen();
    const line = "GET /status.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    const once = await converse(port, line);
    expect(await once.ended).toMatch(/^HTTP\/1\.1 200 OK\r\nconnection: close\r\n/i);
    const { ended } = await converse(port, line.repeat(3));
    expect((await ended).match(/^HTTP\/1\.1 /gm)?.length).toBe(1);
  });

  test.each([
    ["/favicon.ico"],
    ["/metrics/"],
    ["//metrics"],
    ["/../metrics"],
    ["*"],
    ["http://127.0.0.1/metrics"],
  ])("404 to %s", async (path) => {
    const { port } = await listen();
    expect(await ask({ port, path })).toMatchObject({
      status: 404,
      text: "see /, /metrics and /status.json\n",
    });
  });

  test.each([["POST"], ["PUT"], ["DELETE"], ["OPTIONS"], ["TRACE"]])(
    "405 to %s, and closes",
    async (method) => {
      const { port } = await listen();
      const answer = await ask(
        { port, path: "/metrics", method },
        method === "TRACE" ? "" : "x".repeat(100_000),
      );
      expect(answer.status).toBe(405);
      expect(answer.headers).toMatchObject({ allow: "GET, HEAD", connection: "close" });
    },
  );
});

describe("over TCP the server has to be named", () => {
  test.each([
    ["127.0.0.1", 200],
    ["127.0.0.1:9100", 200],
    ["localhost", 200],
    ["LocalHost:1", 200],
    ["[::1]:9100", 200],
    ["192.0.2.1", 200],
    ["127.1", 200],
    ["127.2", 421],
    ["evil.example", 421],
    ["evil.example:9100", 421],
    ["localhost.evil.example", 421],
    ["localhost:x", 421],
    ["evil.example@localhost", 421],
  ])("%j is %i", async (host, status) => {
    // What getaddrinfo takes for an address is a name to HTTP: one that the user gave.
    const { port } = await listen("127.1");
    expect((await ask({ port, path: "/status.json", headers: { host } })).status).toBe(status);
  });

  test.each([["HTTP/1.0\r\n\r\n"], ["HTTP/1.0\r\nhost:\r\n\r\n"]])(
    "no name is 421, too: %j",
    async (rest) => {
      const { port } = await listen();
      const { ended } = await converse(port, `GET /metrics ${rest}`);
      expect(await ended).toMatch(/^HTTP\/1\.1 421 /);
    },
  );
});

test.each([["/metrics"], ["/status.json"]])(
  "%s is told as it was for a tenth of a second, and then anew",
  async (path) => {
    const counts = noCounts();
    const { port } = await listen("127.0.0.1", counts);
    const first = await ask({ port, path });
    counts.queued = { running: 7, waiting: 9 };
    nowMs += 99;
    expect((await ask({ port, path })).text).toBe(first.text);
    nowMs += 1;
    const later = (await ask({ port, path })).text;
    expect(later).toMatch(/^lambda_img_chunk_loads_running 7$|"running":7,/m);
  },
);

test("requests without end on one connection are not read: they cost one answer, and the connection", async () => {
  const counts = noCounts();
  let described = 0;
  const { port, problems } = await listen("127.0.0.1", {
    ...counts,
    loads: () => {
      described++;
      nowMs += 1000; // Nothing can be told a second time.
      return counts.loads();
    },
  });
  const line = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
  const socket = connect({ host: "127.0.0.1", port }).pause();
  socket.on("error", () => undefined); // The end is what counts.
  const closed = new Promise((resolve) => socket.once("close", resolve));
  // More than the buffers between the two hold: what is not read cannot be sent.
  const sent = new Promise((resolve) => {
    socket.write(line.repeat(400_000), (error) => {
      resolve(error === null || error === undefined);
    });
  });
  await closed;
  expect([described, await sent]).toEqual([1, false]);
  expect((await ask({ port, path: "/status.json" })).status).toBe(200);
  expect(problems).toEqual([]);
});

test("a Unix socket is for its owner alone, and takes any name", async () => {
  const { server } = makeServer();
  const socketPath = path.join(makeFolder(), "s");
  await server.listenUnix(socketPath);
  expect(lstatSync(socketPath).mode & 0o7777).toBe(0o600);
  expect((await ask({ socketPath, path: "/metrics", headers: { host: "any.example" } })).status).toBe(200);
  await server.close();
  expect(lstatSync(socketPath, { throwIfNoEntry: false })).toBeUndefined();
});

test("a taken port is refused", async () => {
  const { port } = await listen();
  await expect(makeServer().server.listenTcp({ host: "127.0.0.1", port })).rejects.toMatchObject({
    code: "LISTEN_UNAVAILABLE",
  });
});

test.each([
  [7_000, 200],
  [9_000, 431],
])("headers of %i bytes are %i", async (size, status) => {
  const { port } = await listen();
  expect((await ask({ port, path: "/metrics", headers: { x: "x".repeat(size) } })).status).toBe(status);
});

test("32 connections are taken, and one more is closed", async () => {
  const { port } = await listen();
  const open = [];
  for (let count = 0; count < 32; count++) open.push(await converse(port, ""));
  const { ended } = await converse(port, "");
  expect(await ended).toBe("");
  expect(open.every(({ socket }) => !socket.destroyed)).toBe(true);
});

test("a client that does not finish its request is cut off", { timeout: 30_000 }, async () => {
  const { port } = await listen();
  const { ended } = await converse(port, "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n");
  expect(await ended).toMatch(/^HTTP\/1\.1 408 /);
  expect((await ask({ port, path: "/metrics" })).status).toBe(200);
});

test("what is no HTTP is refused, and the server goes on", async () => {
  const { port, problems } = await listen();
  const { ended } = await converse(port, "NBDMAGIC\0\r\n\r\n");
  expect(await ended).toMatch(/^HTTP\/1\.1 400 /);
  expect((await ask({ port, path: "/metrics" })).status).toBe(200);
  expect(problems).toEqual([]);
});

test("a failure of ours is told once, and the other documents stay", async () => {
  const bug = new Error("a bug");
  const counts = {
    ...noCounts(),
    loads: (): never => {
      throw bug;
    },
  };
  const { port, problems } = await listen("127.0.0.1", counts);
  for (const path of ["/metrics", "/status.json", "/metrics"]) {
    await expect(ask({ port, path })).rejects.toThrow("socket hang up");
  }
  expect(problems).toEqual([bug]);
  expect((await ask({ port, path: "/" })).status).toBe(200);
});

test("closing cuts who is connected", async () => {
  const { server, port } = await listen();
  const idle = await converse(port, "");
  const asked = await converse(port, "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await once(asked.socket, "data");
  await server.close();
  await Promise.all([idle.ended, asked.ended]);
  await expect(ask({ port })).rejects.toMatchObject({ code: "ECONNREFUSED" });
});
