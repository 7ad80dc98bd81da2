import net, { type AddressInfo, type Socket } from "node:net";

import { describe, expect, test } from "vitest";

import { networkError } from "../../src/registry/_network-error.ts";
import type { LoopbackServer } from "../support/faulty-proxy.ts";
import { cleanups, failure, get, serve, textOf, transport } from "./_transport.ts";

describe("redirects", () => {
  test.each([301, 302, 303, 307, 308])(
    "%i to another host is followed without Authorization",
    async (status) => {
      const target = await serve((_request, response) => void response.end("there"));
      const server = await serve((_request, response) => {
        response.writeHead(status, { location: `http://localhost:${target.port}/content?signature=x` }).end();
      });
      const headers = { authorization: "Bearer secret", cookie: "secret", range: "bytes=1-" };
      const response = await get(transport(), `${server.origin}/a`, { headers });
      expect(await textOf(response)).toBe("there");
      expect(response.url.host).toBe(`localhost:${target.port}`);
      expect(server.requests[0]?.headers.authorization).toBe("Bearer secret");
      expect(target.requests[0]?.url).toBe("/content?signature=x");
      expect(target.requests[0]?.headers).not.toHaveProperty("authorization");
      expect(target.requests[0]?.headers).not.toHaveProperty("cookie");
      expect(target.requests[0]?.headers.range).toBe("bytes=1-");
    },
  );

  test("to another host and back do not get Authorization again", async () => {
    const away = await serve((_request, response) => {
      response.writeHead(302, { location: `${server.origin}/end` }).end();
    });
    const server: LoopbackServer = await serve((request, response) => {
      if (request.url === "/end") response.end();
      else response.writeHead(302, { location: `${away.origin}/` }).end();
    });
    await textOf(await get(transport(), `${server.origin}/a`, { headers: { authorization: "x" } }));
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(["x", undefined]);
  });

  test("on the same host keep Authorization, and may be relative", async () => {
    const server = await serve((request, response) => {
      if (request.url === "/b/d") response.end("done");
      else response.writeHead(307, { location: "d" }).end();
    });
    const response = await get(transport(), `${server.origin}/b/c`, { headers: { authorization: "x" } });
    expect(await textOf(response)).toBe("done");
    expect(server.requests[1]?.headers.authorization).toBe("x");
  });

  test.each([
    ["/again", /more than 10 redirects/],
    ["http://[", /no URL/],
    ["file:///etc/passwd", /a redirect to file:/],
  ])("to %s are refused", async (location, message) => {
    const server = await serve((_request, response) => void response.writeHead(302, { location }).end());
    expect(await failure(get(transport(), server.origin))).toMatchObject({
      code: "REGISTRY_INVALID",
      message: expect.stringMatching(message) as string,
    });
  });

  test("a name and password in a redirect are not used", async () => {
    const server: LoopbackServer = await serve((request, response) => {
      if (request.url === "/b") response.end();
      else response.writeHead(302, { location: `http://user:word@${server.host}/b` }).end();
    });
    await textOf(await get(transport(), server.origin));
    expect(server.requests[1]?.headers.authorization).toBeUndefined();
  });
});

describe("connections", () => {
  test("are kept for the next request", async () => {
    const server = await serve((_request, response) => void response.end("x"));
    let count = 0;
    server.server.on("connection", () => count++);
    const through = transport();
    for (let run = 0; run < 3; run++) expect(await textOf(await get(through, server.origin))).toBe("x");
    expect(count).toBe(1);
  });

  test("that were kept and closed meanwhile are made anew", async () => {
    const server = await serve((request, response, { message }) => {
      if (server.requests.length === 2) message.socket.destroy();
      else response.end(request.url);
    });
    const through = transport();
    expect(await textOf(await get(through, `${server.origin}/1`))).toBe("/1");
    expect(await textOf(await get(through, `${server.origin}/2`))).toBe("/2");
    expect(server.requests.map(({ url }) => url)).toEqual(["/1", "/2", "/2"]);
  });

  test("that were kept and break in a body ask nothing again", async () => {
    let reset = (): void => undefined;
    const server = await serve((request, response, { message }) => {
      if (server.requests.length === 1) response.end(request.url);
      else {
        reset = () => void message.socket.resetAndDestroy();
        response.writeHead(200, { "content-length": "100000" }).write("half");
      }
    });
    const through = transport();
    await textOf(await get(through, `${server.origin}/1`));
    const response = await get(through, `${server.origin}/2`);
    await response.body.next();
    reset();
    expect(await failure(response.body.next())).toMatchObject({ code: "REGISTRY_UNAVAILABLE" });
    // What would be asked again would be there before this.
    (await get(through, `${server.origin}/3`)).close();
    expect(server.requests.map(({ url }) => url)).toEqual(["/1", "/2", "/3"]);
  });

  test("that are refused, or end without an answer, can be tried again", async () => {
    const server = await serve((_request, _response, { message }) => void message.socket.destroy());
    expect(await failure(get(transport(), server.origin))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      details: { host: server.host, reason: "ECONNRESET" },
    });
    await server.close();
    expect(await failure(get(transport(), server.origin))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      details: { reason: "ECONNREFUSED" },
    });
  });

  test("that are cut in the body can be tried again", async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    });
    const response = await get(transport(), server.origin);
    expect(await failure(textOf(response))).toMatchObject({ code: "REGISTRY_UNAVAILABLE" });
  });

  test("that do not speak HTTP are refused", async () => {
    const server = net.createServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    expect(await failure(get(transport(), `http://127.0.0.1:${port}/`))).toMatchObject({
      code: "REGISTRY_INVALID",
      message: expect.stringMatching(/does not speak HTTP/) as string,
    });
  });
});

describe("waiting", () => {
  const timeouts = { connectMs: 60, idleMs: 60 };

  test("for the head of an answer ends", async () => {
    const server = await serve(() => undefined);
    expect(await failure(get(transport({ timeouts }), server.origin))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: `${server.host}: no answer for 0.06 s`,
    });
  });

  test("for more of a body ends", async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" }).write("half");
    });
    const response = await get(transport({ timeouts }), server.origin);
    expect(await failure(textOf(response))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: `${server.host}: nothing came for 0.06 s`,
    });
  });

  test("for TLS ends", async () => {
    const server = net.createServer();
    const sockets: Socket[] = [];
    server.on("connection", (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    expect(await failure(get(transport({ timeouts }), `https://127.0.0.1:${port}/`))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: `127.0.0.1:${port}: no connection for 0.06 s`,
    });
  });

  test("does not count while the reader is slow", async () => {
    const server = await serve((_request, response) => void response.end("x".repeat(3_000_000)));
    // Server and client share a process: on a busy machine the answer itself may take longer than the other tests wait.
    const patient = { connectMs: 5000, idleMs: 500 };
    const response = await get(transport({ timeouts: patient }), server.origin);
    let sizeBytes = 0;
    for await (const piece of response.body) {
      // The clock itself is what is tested.
      if (sizeBytes === 0) await new Promise((resolve) => setTimeout(resolve, patient.idleMs + 200));
      sizeBytes += piece.length;
    }
    expect(sizeBytes).toBe(3_000_000);
  });

  test("ends at once where the user cancels", async () => {
    const abort = new AbortController();
    const server = await serve(() => {
      abort.abort();
    });
    expect(await failure(get(transport(), server.origin, { signal: abort.signal }))).toMatchObject({
      code: "CANCELLED",
    });
    expect(await failure(get(transport(), server.origin, { signal: abort.signal }))).toMatchObject({
      code: "CANCELLED",
    });
  });

  test("ends at once in a body, too", async () => {
    const abort = new AbortController();
    const server = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" }).write("half");
    });
    const response = await get(transport(), server.origin, { signal: abort.signal });
    await response.body.next();
    const next = failure(response.body.next());
    abort.abort();
    expect(await next).toMatchObject({ code: "CANCELLED" });
  });
});

test("a fast server waits for a slow reader", async () => {
  let writtenBytes = 0;
  const piece = new Uint8Array(65536);
  const server = await serve((_request, response) => {
    const write = (): void => {
      while (writtenBytes < 100_000_000) {
        writtenBytes += piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on("drain", write);
    write();
  });
  const response = await get(transport(), server.origin);
  let readBytes = 0;
  let aheadBytes = 0;
  for await (const { length } of response.body) {
    readBytes += length;
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    aheadBytes = Math.max(aheadBytes, writtenBytes - readBytes);
  }
  expect(readBytes).toBe(writtenBytes);
  // What sockets hold; a reader that took all at once would have had it all in memory.
  expect(aheadBytes).toBeLessThan(30_000_000);
});

test.each([
  ["ENOTFOUND", "SOURCE_NOT_FOUND"],
  ["EAI_AGAIN", "REGISTRY_UNAVAILABLE"],
  ["EHOSTUNREACH", "REGISTRY_UNAVAILABLE"],
  ["CERT_HAS_EXPIRED", "REGISTRY_UNTRUSTED"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "REGISTRY_UNTRUSTED"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "REGISTRY_UNTRUSTED"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "REGISTRY_UNTRUSTED"],
  ["EPROTO", "REGISTRY_INVALID"],
  ["HPE_INVALID_CONSTANT", "REGISTRY_INVALID"],
] as const)("%s of the system is %s", (reason, code) => {
  const cause = Object.assign(new Error("https://r.test/?token=secret"), { code: reason });
  const error = networkError(cause, "r.test");
  expect(error).toMatchObject({ code, details: { host: "r.test", reason } });
  expect(String(error)).not.toContain("secret");
});
