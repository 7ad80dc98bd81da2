/** TLS, and ways through proxies. */
import http from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";

import { describe, expect, test } from "vitest";

import { cleanups, describeTls, failure, get, serve, textOf, transport } from "./_transport.ts";

describeTls("TLS", (certificates) => {
  test("trusts the authorities it is given, and no other", async () => {
    const server = await serve((_request, response) => void response.end("secure"), certificates().server);
    const trusting = transport({ certificateAuthorities: [certificates().ca] });
    expect(await textOf(await get(trusting, server.origin))).toBe("secure");
    expect(await failure(get(transport(), `${server.origin}/?token=secret`))).toMatchObject({
      code: "REGISTRY_UNTRUSTED",
      message: expect.stringMatching(
        /^127\.0\.0\.1:\d+: its certificate is not trusted .*--ca FILE$/,
      ) as string,
    });
  });

  test("wants the certificate to be the host's", async () => {
    const server = await serve((_request, response) => void response.end(), certificates().server);
    const trusting = transport({ certificateAuthorities: [certificates().ca] });
    expect(await failure(get(trusting, `https://127.0.0.2:${server.port}/`))).toMatchObject({
      code: expect.stringMatching(/REGISTRY_UNTRUSTED|REGISTRY_UNAVAILABLE/) as string,
    });
  });

  test("is lax with insecure hosts alone, also after a redirect", async () => {
    const secure = await serve((_request, response) => void response.end("secure"), certificates().server);
    const server = await serve((_request, response) => {
      response.writeHead(302, { location: secure.origin }).end();
    });
    expect(await textOf(await get(transport({ insecureHosts: [secure.host] }), server.origin))).toBe(
      "secure",
    );
    expect(await textOf(await get(transport({ insecureHosts: ["127.0.0.1"] }), server.origin))).toBe(
      "secure",
    );
    expect(await failure(get(transport({ insecureHosts: [server.host] }), server.origin))).toMatchObject({
      code: "REGISTRY_UNTRUSTED",
    });
  });

  test("is not left by a redirect", async () => {
    const server = await serve((_request, response) => {
      response.writeHead(302, { location: "http://registry.test/" }).end();
    }, certificates().server);
    const trusting = transport({ certificateAuthorities: [certificates().ca] });
    expect(await failure(get(trusting, server.origin))).toMatchObject({
      code: "REGISTRY_INVALID",
      message: expect.stringMatching(/from https to plain http \(registry\.test\)/) as string,
    });
  });

  test("is not left by a redirect to this machine either", async () => {
    const here = await serve((_request, response) => void response.end("private"));
    const server = await serve((_request, response) => {
      response.writeHead(302, { location: here.origin }).end();
    }, certificates().server);
    const proxy = await startConnectProxy(server.port, 200);
    const through = transport({
      certificateAuthorities: [certificates().ca],
      variables: { HTTPS_PROXY: proxy.host },
    });
    expect(await failure(get(through, "https://registry.test/"))).toMatchObject({ code: "REGISTRY_INVALID" });
    expect(here.requests).toEqual([]);
    // From this machine to itself, as with a registry that is tried out.
    const local = transport({ certificateAuthorities: [certificates().ca] });
    expect(await textOf(await get(local, server.origin))).toBe("private");
  });

  test("goes through a proxy by CONNECT, and keeps the connection", async () => {
    const server = await serve((_request, response) => void response.end("secure"), certificates().server);
    const proxy = await startConnectProxy(server.port, 200);
    const trusting = transport({
      certificateAuthorities: [certificates().ca],
      variables: { HTTPS_PROXY: `http://user:p%40ss@${proxy.host}` },
    });
    for (let run = 0; run < 2; run++) {
      expect(await textOf(await get(trusting, "https://registry.test/a"))).toBe("secure");
    }
    expect(proxy.seen).toEqual([`registry.test:443 Basic ${Buffer.from("user:p@ss").toString("base64")}`]);
    expect(server.requests[0]?.headers).not.toHaveProperty("proxy-authorization");
  });

  test("goes through a proxy that has another word for success", async () => {
    const server = await serve((_request, response) => void response.end("secure"), certificates().server);
    const proxy = await startConnectProxy(server.port, 201);
    const trusting = transport({
      certificateAuthorities: [certificates().ca],
      variables: { HTTPS_PROXY: proxy.host },
    });
    expect(await textOf(await get(trusting, "https://registry.test/a"))).toBe("secure");
  });

  test.each([
    ["by whoever closes the transport", { connectMs: 60_000, idleMs: 60_000 }],
    ["after a while", { connectMs: 60, idleMs: 60 }],
  ])("a tunnel to a host that says nothing is given up %s", async (_how, timeouts) => {
    const silent = await startSilentHost();
    const proxy = await startConnectProxy(silent.port, 200);
    const through = transport({ timeouts, variables: { HTTPS_PROXY: proxy.host } });
    const failed = failure(get(through, "https://registry.test/"));
    await silent.heard;
    if (timeouts.connectMs < 1000) await failed;
    through.close();
    await silent.ended;
    expect(await failed).toMatchObject({ code: "REGISTRY_UNAVAILABLE" });
  });

  test.each([
    [407, "REGISTRY_FORBIDDEN"],
    [502, "REGISTRY_UNAVAILABLE"],
  ])("a proxy that answers %i is told as %s", async (status, code) => {
    const proxy = await startConnectProxy(0, status);
    const through = transport({ variables: { https_proxy: `http://user:secret@${proxy.host}` } });
    expect(await failure(get(through, "https://registry.test/"))).toMatchObject({
      code,
      message: `proxy ${proxy.host}: refused to connect (status ${status})`,
    });
  });

  test("a proxy that says nothing is not waited for", async () => {
    const proxy = await startConnectProxy(0, undefined);
    const through = transport({
      timeouts: { connectMs: 60, idleMs: 60 },
      variables: { https_proxy: proxy.host },
    });
    expect(await failure(get(through, "https://registry.test/"))).toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: `registry.test (by the proxy ${proxy.host}): no connection for 0.06 s`,
    });
  });
});

/** A host that takes connections and never answers; `heard` and `ended` tell of the first one. */
async function startSilentHost(): Promise<{
  readonly port: number;
  readonly heard: Promise<void>;
  readonly ended: Promise<void>;
}> {
  const server = net.createServer();
  const heard = new Promise<void>((resolve) => {
    server.on("connection", (socket) => {
      cleanups.push(() => socket.destroy());
      socket
        .on("error", () => undefined)
        .once("data", () => {
          resolve();
        });
    });
  });
  const ended = new Promise<void>((resolve) => {
    server.on("connection", (socket) => {
      socket.once("close", () => {
        resolve();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, heard, ended };
}

/** A proxy that connects everyone with one port, whatever was asked for. */
async function startConnectProxy(
  targetPort: number,
  status: number | undefined,
): Promise<{ readonly host: string; readonly seen: string[] }> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = http.createServer();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.on("connect", (request: http.IncomingMessage, socket: Socket) => {
    seen.push(`${request.url ?? ""} ${request.headers["proxy-authorization"] ?? "-"}`);
    if (status === undefined) return;
    if (status >= 300) {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const target = net.connect(targetPort, "127.0.0.1", () => {
      socket.write(`HTTP/1.1 ${status} Connected\r\n\r\n`);
      target.pipe(socket).pipe(target);
    });
    target.on("error", () => socket.destroy());
    sockets.add(target);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

describe("proxies", () => {
  test("of plain HTTP are given whole URLs", async () => {
    const proxy = await serve((request, response) => void response.end(request.url));
    const variables = { http_proxy: `http://u:p@${proxy.host}` };
    const response = await get(transport({ variables }), "http://registry.test:8080/v2/?a=b");
    expect(await textOf(response)).toBe("http://registry.test:8080/v2/?a=b");
    expect(proxy.requests[0]?.headers).toMatchObject({
      host: "registry.test:8080",
      "proxy-authorization": `Basic ${Buffer.from("u:p").toString("base64")}`,
    });
  });

  test("that want a password are told so", async () => {
    const proxy = await serve((_request, response) => void response.writeHead(407).end());
    const through = transport({ variables: { HTTP_PROXY: proxy.origin } });
    expect(await failure(get(through, "http://registry.test/"))).toMatchObject({
      code: "REGISTRY_FORBIDDEN",
    });
  });

  test("are not asked for what is on this machine", async () => {
    const server = await serve((_request, response) => void response.end("direct"));
    const variables = { HTTP_PROXY: "http://127.0.0.1:1", HTTPS_PROXY: "http://127.0.0.1:1" };
    expect(await textOf(await get(transport({ variables }), server.origin))).toBe("direct");
  });

  test.each(["socks5://h:1", "ftp://u:secret@h", "http://", "http://u:secret@h:x"])(
    "of another kind are refused, and not shown: %s",
    async (value) => {
      const error = await failure(
        get(transport({ variables: { HTTP_PROXY: value } }), "http://registry.test/"),
      );
      expect(error).toMatchObject({ code: "USAGE_INVALID" });
      expect(String(error)).not.toContain("secret");
    },
  );
});
