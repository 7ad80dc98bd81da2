/** The client before servers with faults. Each fault that decision 8 tells of has its test here or in token.test.ts. */
import { afterEach, describe, expect, test } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { parseDigest } from "../../src/base/digest.ts";
import { parseRegistryReference } from "../../src/registry/reference.ts";
import { RegistryClient, type RegistryOptions } from "../../src/registry/registry-client.ts";
import {
  ranged,
  startFaultyProxy,
  startServer,
  TestPace,
  type Fault,
  type LoopbackServer,
  type SeenRequest,
} from "../support/faulty-proxy.ts";
import { digestOf } from "../support/oci-layout.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const LAYER = Uint8Array.from({ length: 400_000 }, (_, index) => (index * 31 + (index >> 9)) & 255);
const LAYER_DIGEST = parseDigest(digestOf(LAYER), "test");
const MANIFEST = Buffer.from('{"schemaVersion":2}');
const MANIFEST_DIGEST = digestOf(MANIFEST);

async function serve(
  choose: (request: SeenRequest, index: number) => Fault | undefined,
): Promise<LoopbackServer> {
  const server = await startFaultyProxy(
    ({ url, headers }) => {
      if (url.includes("/blobs/")) return ranged(LAYER, headers.range);
      const fields = {
        "content-type": "application/json; charset=utf-8",
        "docker-content-digest": MANIFEST_DIGEST,
      };
      return {
        status: 200,
        headers: { ...fields, "content-length": String(MANIFEST.length) },
        bytes: MANIFEST,
      };
    },
    (request, index) => (request.url === "/v2/" ? undefined : choose(request, index)),
  );
  cleanups.push(() => server.close());
  return server;
}

function client(
  server: LoopbackServer,
  options: RegistryOptions = {},
  version = "",
): { readonly pulling: RegistryClient; readonly pace: TestPace } {
  const pace = new TestPace();
  const reference = parseRegistryReference(`${server.host}/a/b${version}`);
  const pulling = new RegistryClient(reference, { pace, ...options });
  cleanups.push(() => {
    pulling.close();
  });
  return { pulling, pace };
}

async function layerOf(pulling: RegistryClient, signal?: AbortSignal): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const wanted = { digest: LAYER_DIGEST, sizeBytes: LAYER.length, label: "layer 0", signal };
  for await (const piece of pulling.streamLayer(wanted)) pieces.push(piece);
  return concatBytes(...pieces);
}

const only = (index: number, fault: Fault): ((request: SeenRequest) => Fault | undefined) => {
  let count = 0;
  return () => (count++ === index ? fault : undefined);
};

describe("a manifest", () => {
  test("comes with digest and type, and the four types are asked for", async () => {
    const server = await serve(() => undefined);
    const { pulling } = client(server);
    expect(await pulling.pullRoot(undefined)).toEqual({
      bytes: new Uint8Array(MANIFEST),
      digest: MANIFEST_DIGEST,
      mediaType: "application/json",
    });
    expect(server.requests.at(-1)?.url).toBe("/v2/a/b/manifests/latest");
    expect(server.requests.at(-1)?.headers.accept?.split(", ")).toHaveLength(4);
  });

  test.each([
    [
      "another Docker-Content-Digest",
      "",
      { kind: "replace", headers: { "docker-content-digest": LAYER_DIGEST } },
    ],
    ["another byte", "", { kind: "flip", offsetBytes: 1 }],
    [
      "another byte and no Docker-Content-Digest, by digest",
      `@${MANIFEST_DIGEST}`,
      { kind: "replace", headers: { "docker-content-digest": "" }, body: "{}" },
    ],
    [
      "another document that names its own digest, by digest",
      `@${MANIFEST_DIGEST}`,
      { kind: "replace", headers: { "docker-content-digest": digestOf(Buffer.from("{}")) }, body: "{}" },
    ],
  ] as const)("with %s is refused", async (_name, version, fault) => {
    const { pulling } = client(await serve(() => fault), {}, version);
    await expect(pulling.pullRoot(undefined)).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
  });

  test("is tried again where its connection breaks", async () => {
    const { pulling, pace } = client(await serve(only(0, { kind: "cut", afterBytes: 3 })));
    expect((await pulling.pullRoot(undefined)).digest).toBe(MANIFEST_DIGEST);
    expect(pace.waitsMs).toEqual([500]);
  });

  test("that does not end is too large", async () => {
    const body = new Uint8Array(9 * 1024 * 1024);
    const { pulling } = client(await serve(() => ({ kind: "replace", body })));
    await expect(pulling.pullRoot(undefined)).rejects.toMatchObject({ code: "DOCUMENT_TOO_LARGE" });
  });

  test.each([
    [403, "REGISTRY_FORBIDDEN"],
    [404, "IMAGE_NOT_FOUND"],
    [400, "REGISTRY_INVALID"],
    [204, "REGISTRY_INVALID"],
    [206, "REGISTRY_INVALID"],
    [304, "REGISTRY_INVALID"],
  ])("with status %i is %s, at once", async (status, code) => {
    const server = await serve(() => ({ kind: "replace", status, body: "" }));
    const { pulling, pace } = client(server);
    await expect(pulling.pullRoot(undefined)).rejects.toMatchObject({ code, details: { status } });
    expect(pace.waitsMs).toEqual([]);
  });

  test("what the registry says is shown in one plain line", async () => {
    const body = JSON.stringify({
      errors: [{ code: "DENIED", message: "no\u001b[31m\n\u202eway" }, { code: "X" }],
    });
    const { pulling } = client(await serve(() => ({ kind: "replace", status: 403, body })));
    await expect(pulling.pullRoot(undefined)).rejects.toThrow(/status 403, DENIED: no \[31m way; X\)$/);
  });

  test("a long refusal is cut", async () => {
    const body = `{"errors":[{"code":"X","message":"${"y".repeat(6000)}"}]}`;
    const { pulling } = client(await serve(() => ({ kind: "replace", status: 403, body })));
    const error: unknown = await pulling.pullRoot(undefined).catch((cause: unknown) => cause);
    expect(String(error).length).toBeLessThan(600);
  });
});

describe("a server that is busy", () => {
  test.each([408, 429, 500, 502, 503, 504])("with status %i is asked again", async (status) => {
    const { pulling, pace } = client(await serve(only(0, { kind: "replace", status, body: "" })));
    expect((await pulling.pullRoot(undefined)).digest).toBe(MANIFEST_DIGEST);
    expect(pace.waitsMs).toEqual([500]);
  });

  test("says when to come back", async () => {
    const headers = { "retry-after": "17" };
    const { pulling, pace } = client(
      await serve(only(0, { kind: "replace", status: 429, headers, body: "" })),
    );
    await pulling.pullRoot(undefined);
    expect(pace.waitsMs).toEqual([17_000]);
  });

  test("for too long is given up", async () => {
    const body = JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "pull rate limit" }] });
    const server = await serve(() => ({ kind: "replace", status: 429, body }));
    const { pulling, pace } = client(server);
    await expect(pulling.pullRoot(undefined)).rejects.toMatchObject({
      code: "REGISTRY_UNAVAILABLE",
      message: expect.stringMatching(/too many requests \(.*TOOMANYREQUESTS: pull rate limit\)$/) as string,
    });
    expect(pace.waitsMs).toEqual([500, 1000, 2000, 4000]);
  });
});

describe("a layer", () => {
  test("comes whole, and is counted", async () => {
    const { pulling } = client(await serve(() => undefined));
    expect(digestOf(await layerOf(pulling))).toBe(LAYER_DIGEST);
    expect(pulling.pulledBytes()).toBe(LAYER.length);
  });

  test("goes on where it broke off", async () => {
    const server = await serve(({ headers }) =>
      headers.range === undefined ? { kind: "cut", afterBytes: 300_000 } : undefined,
    );
    const { pulling } = client(server);
    expect(digestOf(await layerOf(pulling))).toBe(LAYER_DIGEST);
    expect(server.requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9][0-9]*-$/);
    expect(pulling.pulledBytes()).toBe(LAYER.length);
  });

  test("that stalls goes on over another connection", async () => {
    const server = await serve(({ headers }) =>
      headers.range === undefined ? { kind: "stall", afterBytes: 300_000 } : undefined,
    );
    const { pulling } = client(server, { timeouts: { connectMs: 1000, idleMs: 80 } });
    expect(digestOf(await layerOf(pulling))).toBe(LAYER_DIGEST);
  });

  test("whose server says nothing at all is asked for again", async () => {
    const server = await serve(only(0, { kind: "stall", afterBytes: -1 }));
    const { pulling } = client(server, { timeouts: { connectMs: 1000, idleMs: 80 } });
    expect(digestOf(await layerOf(pulling))).toBe(LAYER_DIGEST);
  });

  test("of another length is refused", async () => {
    const { pulling } = client(await serve(() => ({ kind: "replace", body: LAYER.subarray(1) })));
    await expect(layerOf(pulling)).rejects.toMatchObject({ code: "SIZE_MISMATCH" });
  });

  test("that is not there is no image that is not there", async () => {
    const { pulling } = client(await serve(() => ({ kind: "replace", status: 404, body: "" })));
    await expect(layerOf(pulling)).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
  });

  test("is asked for as it is stored", async () => {
    const server = await serve(() => undefined);
    await layerOf(client(server).pulling);
    expect(server.requests.at(-1)?.headers["accept-encoding"]).toBe("identity");
  });
});

describe("a login", () => {
  const login = { username: "u", password: "secret-4711" };
  const basic = `Basic ${Buffer.from("u:secret-4711").toString("base64")}`;

  async function guarded(): Promise<{ readonly server: LoopbackServer; readonly storage: LoopbackServer }> {
    const storage = await startServer((request, response) => {
      const { status, headers, bytes } = ranged(LAYER, request.headers.range);
      response.writeHead(status, headers).end(bytes);
    });
    cleanups.push(() => storage.close());
    const server = await startServer((request, response) => {
      if (request.headers.authorization !== basic) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      } else if (request.url.includes("/blobs/")) {
        const location = `http://localhost:${storage.port}/content?signature=hidden-4711`;
        response.writeHead(307, { location }).end();
      } else response.end(MANIFEST);
    });
    cleanups.push(() => server.close());
    return { server, storage };
  }

  test("goes to the registry, and not on to where layers are", async () => {
    const { server, storage } = await guarded();
    expect(digestOf(await layerOf(client(server, { login }).pulling))).toBe(LAYER_DIGEST);
    expect(storage.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test("is not for storage that asks for one", async () => {
    const storage = await startServer((_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    });
    cleanups.push(() => storage.close());
    const server = await startServer((_request, response) => {
      response.writeHead(307, { location: `${storage.origin}/content` }).end();
    });
    cleanups.push(() => server.close());
    await expect(layerOf(client(server, { login }).pulling)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
    });
    const asked = [...server.requests, ...storage.requests].filter(({ url }) => url !== "/v2/");
    expect(asked.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  test("is asked for once, and then offered at once", async () => {
    const { server } = await guarded();
    const { pulling } = client(server, { login });
    await pulling.pullRoot(undefined);
    await pulling.pullRoot(undefined);
    const sent = server.requests
      .filter(({ url }) => url !== "/v2/")
      .map(({ headers }) => headers.authorization);
    expect(sent).toEqual([undefined, basic, basic]);
  });

  test("is not shown, even where the registry sends it back", async () => {
    const { server } = await guarded();
    const echo = await startServer((request, response) => {
      const { authorization = "" } = request.headers;
      const body = { errors: [{ code: "DENIED", message: `${authorization} is secret-4711` }] };
      const status = authorization === "" ? 401 : 403;
      response.writeHead(status, { "www-authenticate": 'Basic realm="x"' }).end(JSON.stringify(body));
    });
    cleanups.push(() => echo.close());
    const error: unknown = await client(echo, { login })
      .pulling.pullRoot(undefined)
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "REGISTRY_FORBIDDEN" });
    expect(String(error)).toContain("DENIED: Basic *** is ***");
    expect(JSON.stringify(error)).not.toContain("4711");
    expect(server.requests).toEqual([]);
  });

  test("where storage refuses, its signed URL is not shown", async () => {
    const { server, storage } = await guarded();
    await storage.close();
    const error: unknown = await layerOf(client(server, { login }).pulling).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "REGISTRY_UNAVAILABLE" });
    expect(String(error)).not.toContain("4711");
    expect(JSON.stringify(error)).not.toContain("4711");
  });
});

test("tokens that end in mid-pull are renewed, and the layer goes on", async () => {
  // Every token serves for one request; every connection brings a quarter of the layer.
  let issued = 0;
  let valid = "";
  const server: LoopbackServer = await startServer((request, response) => {
    if (request.url.startsWith("/token")) {
      valid = `t${issued++}`;
      response.end(JSON.stringify({ token: valid, expires_in: 3600 }));
    } else if (request.headers.authorization !== `Bearer ${valid}` || valid === "") {
      const challenge = `Bearer realm="${server.origin}/token",service="s",scope="repository:a/b:pull"`;
      response.writeHead(401, { "www-authenticate": challenge }).end("{}");
    } else {
      valid = "";
      const { status, headers, bytes } = ranged(LAYER, request.headers.range);
      response.writeHead(status, headers);
      if (bytes.length <= 100_000) response.end(bytes);
      else response.write(bytes.subarray(0, 100_000), () => response.destroy());
    }
  });
  cleanups.push(() => server.close());
  const { pulling } = client(server);
  expect(digestOf(await layerOf(pulling))).toBe(LAYER_DIGEST);
  expect(issued).toBeGreaterThanOrEqual(4);
});

test("a registry that takes no token, however new, is not asked for ever", async () => {
  let issued = 0;
  const server: LoopbackServer = await startServer((request, response) => {
    if (request.url.startsWith("/token")) response.end(JSON.stringify({ token: `t${issued++}` }));
    else response.writeHead(401, { "www-authenticate": `Bearer realm="${server.origin}/token"` }).end();
  });
  cleanups.push(() => server.close());
  await expect(client(server).pulling.pullRoot(undefined)).rejects.toMatchObject({
    code: "REGISTRY_UNAUTHORIZED",
    message: expect.stringMatching(/there is no such repository, or it wants a login/) as string,
  });
  expect(issued).toBe(1);
});

test("cancelled while it waits for a busy server", async () => {
  const abort = new AbortController();
  const server = await serve(() => ({ kind: "replace", status: 503, body: "" }));
  const pace = new TestPace();
  const wait = (): Promise<void> => {
    abort.abort();
    return Promise.resolve();
  };
  const { pulling } = client(server, { pace: { now: pace.now, random: pace.random, wait } });
  await expect(pulling.pullRoot(abort.signal)).rejects.toMatchObject({ code: "CANCELLED" });
});

test("a host of another machine is spoken to in TLS alone", async () => {
  const proxy = await startServer((_request, response) => void response.end(MANIFEST));
  cleanups.push(() => proxy.close());
  const connects: string[] = [];
  proxy.server.on("connect", (request: { url?: string }, socket: { end(text: string): void }) => {
    connects.push(request.url ?? "");
    socket.end("HTTP/1.1 403 No\r\n\r\n");
  });
  const variables = { HTTP_PROXY: proxy.origin, HTTPS_PROXY: proxy.origin };
  for (const [reference, host] of [
    ["registry.test:5000/x", "registry.test:5000"],
    ["alpine", "registry-1.docker.io:443"],
  ] as const) {
    const pulling = new RegistryClient(parseRegistryReference(reference), {
      variables,
      pace: new TestPace(),
    });
    await expect(pulling.pullRoot(undefined)).rejects.toMatchObject({ code: "REGISTRY_FORBIDDEN" });
    pulling.close();
    expect(connects.at(-1)).toBe(host);
  }
  expect(proxy.requests).toEqual([]);
});
