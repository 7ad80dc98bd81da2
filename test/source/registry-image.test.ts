import { writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openLayer } from "../../src/layer/open-layer.ts";
import type { RegistryOptions } from "../../src/registry/registry-client.ts";
import type { OciImage } from "../../src/source/oci-image.ts";
import { openImage } from "../../src/source/open-image.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import { layoutRegistry, startFaultyProxy, TestPace, type LoopbackServer } from "../support/faulty-proxy.ts";
import {
  collect,
  digestOf,
  LayoutBuilder,
  tarOf,
  temporaryDirectory,
  type JsonDescriptor,
} from "../support/oci-layout.ts";
import { noise } from "../support/random.ts";
import {
  describeWithRegistry,
  LOGIN,
  makeCertificates,
  pushLayout,
  startRegistry,
  startTokenServer,
  type RunningRegistry,
  type TokenServer,
} from "../support/registry.ts";

const folder = temporaryDirectory();
afterAll(() => {
  folder.remove();
});

const amd64 = { os: "linux", architecture: "amd64" };

function open(reference: string, registry: RegistryOptions = {}, signal?: AbortSignal): Promise<OciImage> {
  return openImage(parseImageReference(reference), {
    platform: undefined,
    defaultPlatform: amd64,
    registry: { pace: new TestPace(), ...registry },
    signal,
  });
}

/** The digests of the layers' tars, by index. */
async function tarsOf(image: OciImage, signal?: AbortSignal): Promise<Map<number, string>> {
  const tars = new Map<number, string>();
  try {
    for await (const stream of image.streamLayers({ signal })) {
      const tar = await collect(openLayer(stream, { layerBytesMax: 2 ** 40 }));
      tars.set(stream.descriptor.layerIndex, digestOf(tar));
    }
  } finally {
    await image.close();
  }
  return tars;
}

let base: Uint8Array;
let upper: Uint8Array;
let layout: LayoutBuilder;
let image: JsonDescriptor;

beforeAll(async () => {
  base = await tarOf([{ name: "a", content: noise(700_000) }]);
  upper = await tarOf([{ name: "b", content: "b" }]);
  layout = new LayoutBuilder(path.join(folder.path, "layout"));
  image = layout.image({ layers: [{ tar: base }, { tar: upper }, { tar: base }], tag: "latest" });
  layout.index([image]);
});

describe("an image in a registry in memory", () => {
  let server: LoopbackServer;
  beforeAll(async () => {
    server = await startFaultyProxy(layoutRegistry(layout.directory), () => undefined);
  });
  afterAll(() => server.close());

  test("is read by tag, by digest, and by both, where the digest decides", async () => {
    for (const version of ["", ":latest", `@${image.digest}`, `:none@${image.digest}`]) {
      const opened = await open(`${server.host}/a/b${version}`);
      expect(opened.sourceDigest).toBe(image.digest);
      expect(opened.layers.map(({ layerIndex }) => layerIndex)).toEqual([0, 1, 2]);
      expect([...(await tarsOf(opened)).entries()]).toEqual([
        [0, digestOf(base)],
        [1, digestOf(upper)],
      ]);
      expect(opened.pulledBytes()).toBeGreaterThan(0);
    }
  });

  test("may have docker:// before its name", async () => {
    const opened = await open(`docker://${server.host}/a`);
    expect(opened.sourceDigest).toBe(image.digest);
    await opened.close();
  });

  test("that is not there is told with the parts of its name", async () => {
    await expect(open(`${server.host}/a/b:none`)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      message: `registry ${server.host}, repository a/b, tag none: not found (${server.host} says: status 404, MANIFEST_UNKNOWN: manifest unknown)`,
      details: { registry: server.host, repository: "a/b", status: 404 },
    });
  });

  test("is not read to its end where the reader stops", async () => {
    const opened = await open(`${server.host}/a`);
    for await (const { bytes } of opened.streamLayers({})) {
      for await (const piece of bytes) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      break;
    }
    await opened.close();
  });

  test("is asked for no layer that is known", async () => {
    const opened = await open(`${server.host}/a`);
    const [lower, higher] = opened.layers;
    const asked = async (...known: readonly (typeof lower)[]): Promise<readonly string[]> => {
      const before = server.requests.length;
      const diffIds = new Set(known.flatMap((layer) => (layer === undefined ? [] : [layer.diffId])));
      for await (const { bytes } of opened.streamLayers({ known: diffIds }))
        for await (const piece of bytes) expect(piece.length).toBeGreaterThan(0);
      return server.requests.slice(before).map(({ url }) => url);
    };
    expect(await asked(lower, higher)).toEqual([]);
    expect(await asked(lower)).toEqual([`/v2/a/blobs/${higher?.stored?.digest}`]);
    expect(await asked(higher)).toEqual([`/v2/a/blobs/${lower?.stored?.digest}`]);
    await opened.close();
  });

  test("is cancelled at once, before and while it is read", async () => {
    const abort = new AbortController();
    const opened = await open(`${server.host}/a`, {}, abort.signal);
    const layers = opened.streamLayers({ signal: abort.signal })[Symbol.asyncIterator]();
    const first = await layers.next();
    if (first.done === true) throw new Error("expected a layer");
    abort.abort();
    await expect(first.value.bytes[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "CANCELLED",
    });
    await expect(open(`${server.host}/a`, {}, abort.signal)).rejects.toMatchObject({ code: "CANCELLED" });
    await opened.close();
  });
});

describe("what a registry sends instead of an image", () => {
  async function refusal(document: unknown, contentType: string): Promise<unknown> {
    const bytes = Buffer.from(JSON.stringify(document));
    const headers = { "content-type": contentType, "content-length": String(bytes.length) };
    const server = await startFaultyProxy(
      () => ({ status: 200, headers, bytes }),
      () => undefined,
    );
    try {
      return await open(`${server.host}/a`).catch((cause: unknown) => cause);
    } finally {
      await server.close();
    }
  }

  const manifest = {
    schemaVersion: 2,
    config: { mediaType: "application/vnd.example.config", digest: `sha256:${"0".repeat(64)}`, size: 2 },
    layers: [],
  };

  test.each([
    [
      "schema 1",
      { schemaVersion: 1 },
      "application/vnd.docker.distribution.manifest.v1+prettyjws",
      /schema 1/,
    ],
    ["schema 1 as JSON", { schemaVersion: 1 }, "application/json", /schema 1/],
    ["an artifact", manifest, "application/vnd.oci.image.manifest.v1+json", /vnd.example.config/],
    ["an artifact without type", manifest, "", /vnd.example.config/],
    ["a web page", {}, "text/html; charset=utf-8", /text\/html/],
  ])("%s is refused by name", async (_name, document, contentType, message) => {
    expect(await refusal(document, contentType)).toMatchObject({
      code: "MEDIA_TYPE_UNSUPPORTED",
      message: expect.stringMatching(message) as string,
    });
  });

  test("bytes that are no document are refused", async () => {
    expect(await refusal("text", "application/json")).toMatchObject({ code: "OCI_INVALID" });
  });
});

test("a foreign layer that the registry has not is named as one", async () => {
  const builder = new LayoutBuilder(path.join(folder.path, "foreign"));
  const mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  builder.index([builder.image({ layers: [{ tar: upper, mediaType, isMissing: true }] })]);
  const server = await startFaultyProxy(layoutRegistry(builder.directory), () => undefined);
  try {
    await expect(open(`${server.host}/a`).then((opened) => tarsOf(opened))).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: expect.stringMatching(/layer 0 .*registries may leave out: not found/) as string,
    });
  } finally {
    await server.close();
  }
});

describeWithRegistry("an image in docker-registry", () => {
  const storage = path.join(folder.path, "registry");
  let openRegistry: RunningRegistry;
  const running: RunningRegistry[] = [];
  const servers: TokenServer[] = [];
  let certificates: ReturnType<typeof makeCertificates>;

  beforeAll(async () => {
    certificates = makeCertificates(path.join(folder.path, "tls"));
    openRegistry = await startRegistry(storage, { kind: "open" });
    running.push(openRegistry);
    const many = new LayoutBuilder(path.join(folder.path, "many"));
    const arm = many.image({ layers: [{ tar: upper }], platform: { os: "linux", architecture: "arm64" } });
    const wide = many.image({ layers: [{ tar: base, compression: "none" }, { tar: upper }] });
    many.index([many.nestedIndex([arm, wide])]);
    await pushLayout(`${layout.directory}:latest`, openRegistry.host, "team/app:v1");
    await pushLayout(many.directory, openRegistry.host, "many");
  });
  afterAll(async () => {
    for (const registry of running) await registry.stop();
    for (const server of servers) await server.close();
  });

  test("that skopeo pushed is the same as in its layout", async () => {
    const opened = await open(`${openRegistry.host}/team/app:v1`);
    const fromLayout = await open(`oci:${layout.directory}:latest`);
    expect(opened.sourceDigest).toBe(fromLayout.sourceDigest);
    expect(opened.config).toEqual(fromLayout.config);
    expect(await tarsOf(opened)).toEqual(await tarsOf(fromLayout));
  });

  test("for several platforms is chosen from its index", async () => {
    expect([...(await tarsOf(await open(`${openRegistry.host}/many`))).values()]).toEqual([
      digestOf(base),
      digestOf(upper),
    ]);
  });

  test("behind a password", async () => {
    const registry = await startRegistry(storage, { kind: "basic" });
    running.push(registry);
    const { host } = registry;
    const opened = await open(`${host}/team/app:v1`, { login: LOGIN });
    expect((await tarsOf(opened)).size).toBe(2);
    await expect(open(`${host}/team/app:v1`)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
      message: expect.stringContaining("it wants a name and a password, and there are none") as string,
    });
    const error: unknown = await open(`${host}/team/app:v1`, {
      login: { username: "puller", password: "wrong-secret" },
    }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "REGISTRY_UNAUTHORIZED" });
    expect(String(error)).toContain("the login was refused");
    expect(String(error)).not.toContain("wrong-secret");
  });

  test("behind a token server, whose realm has a query and whose token is an access_token", async () => {
    const tokenServer = await startTokenServer(certificates.server, { seconds: 60 });
    servers.push(tokenServer);
    const registry = await startRegistry(storage, { kind: "token", tokenServer });
    running.push(registry);
    const opened = await open(`${registry.host}/team/app:v1`, { login: LOGIN });
    expect((await tarsOf(opened)).size).toBe(2);
    expect(tokenServer.requests.map(({ url }) => url)).toEqual([
      "/token?account=x&service=test+registry&scope=repository%3Ateam%2Fapp%3Apull",
    ]);
    await expect(open(`${registry.host}/team/app:v1`)).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
      message: expect.stringMatching(/gives none without a login \(UNAUTHORIZED: who are you\)/) as string,
    });
  });

  test("behind a token server, with an identity token from a file", async () => {
    const tokenServer = await startTokenServer(certificates.server, { seconds: 60 });
    servers.push(tokenServer);
    const registry = await startRegistry(storage, { kind: "token", tokenServer });
    running.push(registry);
    const file = path.join(folder.path, "auth.json");
    const entry = { auth: Buffer.from("x:").toString("base64"), identitytoken: LOGIN.password };
    writeFileSync(file, JSON.stringify({ auths: { [`${registry.host}/team`]: entry } }));
    const opened = await open(`${registry.host}/team/app:v1`, {
      variables: { REGISTRY_AUTH_FILE: file },
      homeDirectory: folder.path,
    });
    expect((await tarsOf(opened)).size).toBe(2);
    expect(tokenServer.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /token?account=x",
    ]);
    expect(tokenServer.requests[0]?.headers.authorization).toBeUndefined();
  });

  test("behind TLS of a certificate authority of one's own", async () => {
    const registry = await startRegistry(storage, { kind: "open" }, certificates.server);
    running.push(registry);
    const opened = await open(`${registry.host}/team/app:v1`, { certificateAuthorities: [certificates.ca] });
    expect((await tarsOf(opened)).size).toBe(2);
    await expect(open(`${registry.host}/team/app:v1`)).rejects.toMatchObject({ code: "REGISTRY_UNTRUSTED" });
    const insecure = await open(`${registry.host}/team/app:v1`, { insecureHosts: [registry.host] });
    expect(insecure.sourceDigest).toBe(image.digest);
    await insecure.close();
  });

  test("comes whole through connections that break", async () => {
    const server = await startFaultyProxy(
      async (request) => {
        const { accept = "*/*", range } = request.headers;
        const headers = { accept, ...(range === undefined ? {} : { range }) };
        const answer = await fetch(`http://${openRegistry.host}${request.url}`, { headers });
        const bytes = new Uint8Array(await answer.arrayBuffer());
        return { status: answer.status, headers: Object.fromEntries(answer.headers), bytes };
      },
      ({ url }) => (url.includes("/blobs/") ? { kind: "cut", afterBytes: 150_000 } : undefined),
    );
    try {
      const opened = await open(`${server.host}/team/app:v1`);
      const tars = await tarsOf(opened);
      expect(tars.get(0)).toBe(digestOf(base));
      expect(server.requests.filter(({ headers }) => headers.range !== undefined).length).toBeGreaterThan(1);
    } finally {
      await server.close();
    }
  });
});
