import { afterEach, describe, expect, test } from "vitest";

import type { Credentials } from "../../src/registry/credentials.ts";
import { Authorizer } from "../../src/registry/token.ts";
import { Transport } from "../../src/registry/transport.ts";
import { startServer, TestPace, type Handler, type LoopbackServer } from "../support/faulty-proxy.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function serve(handler: Handler): Promise<LoopbackServer> {
  const server = await startServer(handler);
  cleanups.push(() => server.close());
  return server;
}

const PASSWORD: Credentials = { kind: "password", username: "näme", password: "secret-4711" };

class Client {
  readonly pace = new TestPace();
  readonly transport = new Transport({
    certificateAuthorities: [],
    insecureHosts: [],
    variables: {},
    timeouts: { connectMs: 5000, idleMs: 5000 },
  });
  readonly authorizer: Authorizer;
  loginCount = 0;

  constructor(credentials?: Credentials) {
    cleanups.push(() => {
      this.transport.close();
    });
    this.authorizer = new Authorizer({
      transport: this.transport,
      pace: this.pace,
      registry: "r.test",
      repository: "a/b",
      findCredentials: () => {
        this.loginCount++;
        return Promise.resolve(credentials);
      },
    });
  }

  /** Has the authorizer answer a challenge that a registry sends; gives the field for the next request. */
  async challenge(field: string, refused?: string): Promise<string | undefined> {
    const registry = await serve((_request, response) => {
      response.writeHead(401, field === "" ? {} : { "www-authenticate": field }).end();
    });
    const url = new URL(`${registry.origin}/v2/`);
    const response = await this.transport.request({ method: "GET", url, headers: {} });
    await this.authorizer.answer(response, refused, undefined);
    return this.authorizer.authorization(undefined);
  }
}

function tokens(body: (index: number) => unknown, status = 200): Promise<LoopbackServer> {
  let index = 0;
  return serve((_request, response) => {
    response.writeHead(status).end(JSON.stringify(body(index++)));
  });
}

test("says nothing until it is asked", async () => {
  const client = new Client(PASSWORD);
  expect(await client.authorizer.authorization(undefined)).toBeUndefined();
  expect(client.loginCount).toBe(0);
});

describe("Bearer", () => {
  test.each(["token", "access_token"])("takes the token from %s", async (name) => {
    const server = await tokens(() => ({ [name]: "t0" }));
    expect(await new Client().challenge(`Bearer realm="${server.origin}/token",service="s"`)).toBe(
      "Bearer t0",
    );
  });

  test("asks the realm with its own query, service and scope; without a login as nobody", async () => {
    const server = await tokens(() => ({ token: "t" }));
    await new Client().challenge(
      `Bearer realm="${server.origin}/t?a=b&service=x",service="a b",scope="x:y:pull z"`,
    );
    expect(server.requests[0]?.url).toBe("/t?a=b&service=x&service=a+b&scope=x%3Ay%3Apull&scope=z");
    expect(server.requests[0]?.headers).not.toHaveProperty("authorization");
  });

  test("asks for pull on the repository where no scope is named, with name and password in UTF-8", async () => {
    const server = await tokens(() => ({ token: "t" }));
    await new Client(PASSWORD).challenge(`Basic realm="x", Bearer realm="${server.origin}/"`);
    expect(server.requests[0]?.url).toBe("/?scope=repository%3Aa%2Fb%3Apull");
    expect(server.requests[0]?.headers.authorization).toBe(
      `Basic ${Buffer.from("näme:secret-4711").toString("base64")}`,
    );
  });

  test("changes an identity token for another by POST", async () => {
    const server = await tokens(() => ({ access_token: "t", refresh_token: "r2" }));
    const client = new Client({ kind: "identity", token: "refresh-4711" });
    expect(await client.challenge(`Bearer realm="${server.origin}/t?x=1",service="s"`)).toBe("Bearer t");
    const [request] = server.requests;
    expect(request?.method).toBe("POST");
    expect(request?.url).toBe("/t?x=1");
    expect(request?.headers["content-type"]).toBe("application/x-www-form-urlencoded");
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      grant_type: "refresh_token",
      client_id: "lambda-img",
      scope: "repository:a/b:pull",
      service: "s",
      refresh_token: "refresh-4711",
    });
  });

  test("sends a registry token as it is", async () => {
    const client = new Client({ kind: "bearer", token: "own" });
    const field = await client.challenge('Bearer realm="http://127.0.0.1:1/"');
    expect(field).toBe("Bearer own");
    await expect(client.challenge('Bearer realm="http://127.0.0.1:1/"', field)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
    });
  });

  test.each([
    [300, 285_000],
    [60, 45_000],
    [10, 5000],
    [undefined, 45_000],
    ["300", 45_000],
    [0, 0],
  ])("a token with expires_in %j serves for %i ms", async (seconds, lifeMs) => {
    const server = await tokens((index) => ({ token: `t${index}`, expires_in: seconds }));
    const client = new Client();
    expect(await client.challenge(`Bearer realm="${server.origin}/"`)).toBe("Bearer t0");
    if (lifeMs > 0) {
      client.pace.nowMs += lifeMs - 1;
      expect(await client.authorizer.authorization(undefined)).toBe("Bearer t0");
      client.pace.nowMs += 1;
    }
    expect(await client.authorizer.authorization(undefined)).toBe("Bearer t1");
  });

  test("a token that was refused before its time is not used again", async () => {
    const server = await tokens((index) => ({ token: `t${index}`, expires_in: 300 }));
    const client = new Client(PASSWORD);
    const field = await client.challenge(`Bearer realm="${server.origin}/"`);
    expect(await client.challenge(`Bearer realm="${server.origin}/"`, field)).toBe("Bearer t1");
    expect(client.loginCount).toBe(1);
  });

  test.each([
    [{}, /gave no token/],
    [{ token: "" }, /gave no token/],
    [{ token: 7 }, /gave no token/],
    [{ token: "a\r\nx: y" }, /gave no token/],
    [[], /gave no token/],
    [{ token: "x".repeat(300_000) }, /too large/],
  ])("an answer without a token is refused", async (body, message) => {
    const server = await tokens(() => body);
    await expect(new Client().challenge(`Bearer realm="${server.origin}/"`)).rejects.toMatchObject({
      code: "REGISTRY_INVALID",
      message: expect.stringMatching(message) as string,
    });
  });

  test.each([
    [401, "REGISTRY_UNAUTHORIZED"],
    [403, "REGISTRY_UNAUTHORIZED"],
    [404, "SOURCE_NOT_FOUND"],
    [429, "REGISTRY_UNAVAILABLE"],
    [503, "REGISTRY_UNAVAILABLE"],
    [418, "REGISTRY_INVALID"],
  ])("status %i of a token server is %s", async (status, code) => {
    const server = await tokens(() => ({ details: "incorrect password secret-4711\u001b[2J" }), status);
    const error: unknown = await new Client(PASSWORD)
      .challenge(`Bearer realm="${server.origin}/?hidden=1"`)
      .catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code });
    expect(String(error)).toContain("incorrect password *** [2J");
    expect(String(error)).not.toMatch(/secret-4711|hidden/);
  });
});

describe("a realm", () => {
  test.each([
    "",
    'Bearer service="x"',
    'Bearer realm="http://["',
    'Bearer realm="ftp://x/"',
    'Bearer realm="http://u:p@127.0.0.1:1/"',
  ])("that is not usable is refused: %s", async (field) => {
    await expect(new Client(PASSWORD).challenge(field)).rejects.toMatchObject({
      code: expect.stringMatching(/^REGISTRY_(INVALID|UNAUTHORIZED)$/) as string,
    });
  });

  test("in plain HTTP is refused to a registry that speaks TLS", async () => {
    const { authorizer } = new Client(PASSWORD);
    const response = {
      status: 401,
      url: new URL("https://r.test/v2/"),
      header: () => 'Bearer realm="http://tokens.test/?secret=1"',
      body: (async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        yield await Promise.resolve(new Uint8Array(1));
      })(),
      close: () => undefined,
    };
    await authorizer.answer(response, undefined, undefined);
    await expect(authorizer.authorization(undefined)).rejects.toMatchObject({
      code: "REGISTRY_INVALID",
      message: "r.test: names a token server that is not safe: http://tokens.test",
    });
  });
});

describe("Basic", () => {
  test("is name and password", async () => {
    expect(await new Client(PASSWORD).challenge('Basic realm="x"')).toBe(
      `Basic ${Buffer.from("näme:secret-4711").toString("base64")}`,
    );
  });

  test("that is refused is not tried again", async () => {
    const client = new Client(PASSWORD);
    const field = await client.challenge('Basic realm="x"');
    await expect(client.challenge('Basic realm="x"', field)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
      message: expect.stringMatching(/the login was refused/) as string,
    });
  });

  test.each([
    ['Basic realm="x"', /wants a name and a password, and there are none/],
    ['Digest realm="x"', /asks for what is not known here \(digest\)/],
    ["", /asks for what is not known here \(no challenge\)/],
  ])("without a login is an error: %s", async (field, message) => {
    await expect(new Client().challenge(field)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
      message: expect.stringMatching(message) as string,
    });
  });
});
