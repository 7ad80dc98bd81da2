/** `lambda-img serve --status`: what clients of the NBD server do is what the status tells. */
import { createServer } from "node:http";
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { judgeMetrics } from "../serve/promtool.ts";
import { CliHome, errorOf, isBuilt } from "../support/cli-run.ts";
import { run, SYSTEM_PYTHON, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, writeApp } from "./_images.ts";
import { startServe, type RunningServer } from "./_serving.ts";

const CHUNK_BYTES = 512 * 1024;

/** Three chunks, none like another, without zeros, behind the superblock's chunk. */
const LARGE = tarBuilder()
  .file(
    "large",
    Uint8Array.from(
      { length: 3 * CHUNK_BYTES },
      (_, at) => ((at * 7 + (at >> 9) + 2 * (at >> 19)) & 0xff) | 1,
    ),
  )
  .end();

interface Place {
  readonly address?: string;
  readonly url?: string;
  readonly socket?: string;
}

const placeOf = ({ json }: RunningServer): Place => json["status"] as Place;

function get(place: Place, document: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const target =
      place.socket === undefined
        ? { host: "127.0.0.1", port: Number(place.address?.split(":").at(-1)) }
        : { socketPath: place.socket };
    const asked = request({ ...target, path: document, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.once("end", () => {
        resolve(text);
      });
    });
    asked.once("error", reject);
    asked.end();
  });
}

/** Numbers that were not described before this question: CPU time is never the same twice. */
async function freshMetrics(place: Place): Promise<string> {
  const first = await get(place, "/metrics");
  for (;;) {
    const text = await get(place, "/metrics");
    if (text !== first) return text;
  }
}

/** The series that are not zero, those of time and of the process left out. */
async function countsOf(place: Place): Promise<Record<string, number>> {
  const lines = (await freshMetrics(place)).split("\n").filter((line) => /^[a-z]/.test(line));
  const pairs = lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))] as const;
  });
  return Object.fromEntries(
    pairs.filter(([series, value]) => value !== 0 && !/^process_|_seconds_(?:bucket|sum)/.test(series)),
  );
}

describe.skipIf(!isBuilt)("lambda-img serve --status (needs npm run build)", () => {
  let home: CliHome;
  let largeOffset = 0;
  const inHome = (name: string): string => path.join(home.path, name);

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path, [LARGE, LOWER]);
    await home.run(["convert", "oci:app"]);
    await home.run(["export", "app", "-o", "disk.ext4"]);
    largeOffset = readFileSync(inHome("disk.ext4")).indexOf(LARGE.subarray(512, 512 + 4096));
  });
  afterAll(() => {
    home.remove();
  });

  /** Has libnbd read 4 KiB at each of these places, one after another; the errors that it got. */
  async function read(uri: string, offsets: readonly number[]): Promise<string[]> {
    const script = `
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for offset in sys.argv[2:]:
    try:
        h.pread(4096, int(offset))
    except nbd.Error as error:
        print(error.errno)
h.shutdown()
`;
    const said = await run(SYSTEM_PYTHON, ["-c", script, uri, ...offsets.map(String)]);
    return said.split("\n").filter((line) => line !== "");
  }

  testWith(["nbdsh"], "counts what libnbd reads, tier by tier", async () => {
    const server = await startServe(home, ["app", "--socket", "s1", "--status", "127.0.0.1:0"]);
    const place = placeOf(server);
    expect(place).toEqual({
      address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      url: `http://${place.address}/`,
    });
    expect(await countsOf(place)).toEqual({});
    // Two places of one chunk, the first of them twice, and one of the next chunk.
    const offsets = [largeOffset, largeOffset, largeOffset + 8192, largeOffset + CHUNK_BYTES];
    expect(await read(server.uri, offsets)).toEqual([]);
    const counts = await countsOf(place);
    expect(counts).toMatchObject({
      'lambda_img_chunk_lookups_total{tier="memory",outcome="hit"}': 2,
      'lambda_img_chunk_lookups_total{tier="memory",outcome="miss"}': 2,
      'lambda_img_chunk_lookups_total{tier="store",outcome="hit"}': 2,
      'lambda_img_chunk_lookup_duration_seconds_count{tier="store",outcome="hit"}': 2,
      'lambda_img_chunk_found_bytes_total{tier="store"}': 2 * CHUNK_BYTES,
      'lambda_img_chunk_loads_total{outcome="verified"}': 2,
      'lambda_img_nbd_connections_total{outcome="accepted"}': 1,
      'lambda_img_nbd_requests_total{command="read",outcome="ok"}': 4,
      'lambda_img_nbd_request_duration_seconds_count{command="read"}': 4,
      'lambda_img_nbd_payload_bytes_total{command="read"}': 4 * 4096,
    });
    const report = JSON.parse(await get(place, "/status.json")) as { readonly tiers: readonly unknown[] };
    expect(report.tiers[2]).toMatchObject({ tier: "store", lookups: { hit: 2, miss: 0 } });
    expect(await get(place, "/")).toMatch(/^<!doctype html>/);
    expect(await server.stop()).toEqual({ status: 0, signal: null });
  });

  testWith(["nbdsh"], "counts damaged chunks and the errors that clients got", async () => {
    const files = readdirSync(home.storePath, { recursive: true, encoding: "utf8" })
      .filter((name) => /chunks\/..\/./.test(name))
      .map((name) => path.join(home.storePath, name));
    const good = new Map(files.map((file) => [file, readFileSync(file)]));
    try {
      for (const [file, bytes] of good)
        writeFileSync(
          file,
          bytes.map((byte, at) => (at === 99 ? byte ^ 1 : byte)),
        );
      const server = await startServe(home, ["app", "--socket", "s2", "--status", "127.0.0.1:0"]);
      expect(await read(server.uri, [largeOffset])).toEqual(["EIO"]);
      expect(await countsOf(placeOf(server))).toMatchObject({
        'lambda_img_chunk_lookups_total{tier="store",outcome="corrupt"}': 1,
        'lambda_img_chunk_loads_total{outcome="failed"}': 1,
        lambda_img_chunks_failing: 1,
        'lambda_img_nbd_requests_total{command="read",outcome="error"}': 1,
      });
    } finally {
      for (const [file, bytes] of good) writeFileSync(file, bytes);
    }
  });

  testWith(["nbdsh"], "tells what came from this machine's disk", async () => {
    const args = ["app", "--cache", "./cache", "--status", "127.0.0.1:0", "--socket"];
    const first = await startServe(home, [...args, "c1"]);
    await read(first.uri, [largeOffset]);
    await first.stop();
    const second = await startServe(home, [...args, "c2"]);
    await read(second.uri, [largeOffset, largeOffset + CHUNK_BYTES]);
    expect(await countsOf(placeOf(second))).toMatchObject({
      'lambda_img_chunk_lookups_total{tier="disk",outcome="hit"}': 1,
      'lambda_img_chunk_lookups_total{tier="disk",outcome="miss"}': 1,
      'lambda_img_chunk_lookups_total{tier="store",outcome="hit"}': 1,
      'lambda_img_chunk_found_bytes_total{tier="disk"}': CHUNK_BYTES,
    });
  });

  testWith(
    ["nbdcopy", "promtool"],
    "tells metrics that promtool takes, and no name of an image",
    async () => {
      const server = await startServe(home, ["app", "--socket", "s3", "--status", "127.0.0.1:0"]);
      await run("nbdcopy", [server.uri, inHome("copy")]);
      const text = await get(placeOf(server), "/metrics");
      expect(await judgeMetrics(text)).toBe("");
      expect(text).not.toMatch(/\bapp\b|sha256|[0-9a-f]{32}/);
      expect(await get(placeOf(server), "/status.json")).not.toMatch(/\bapp\b|sha256|[0-9a-f]{32}/);
    },
  );

  test("a path with a slash is a Unix socket of this user, which goes with the server", async () => {
    const server = await startServe(home, ["app", "--socket", "s4", "--status", "./status"]);
    expect(placeOf(server)).toEqual({ socket: inHome("status") });
    expect(lstatSync(inHome("status")).mode & 0o7777).toBe(0o600);
    expect(await get(placeOf(server), "/metrics")).toMatch(/^# HELP lambda_img_/);
    await server.stop();
    expect(existsSync(inHome("status"))).toBe(false);
  });

  test("who is connected to it does not keep the server from stopping", async () => {
    const server = await startServe(home, ["app", "--socket", "s5", "--status", "127.0.0.1:0"]);
    const idle = connect({ host: "127.0.0.1", port: Number(placeOf(server).address?.split(":").at(-1)) });
    await once(idle, "connect");
    const closed = once(idle, "close");
    expect(await server.stop()).toEqual({ status: 0, signal: null });
    await closed;
  });

  test("without it nothing listens", async () => {
    const server = await startServe(home, ["app", "--socket", "s6"]);
    expect(server.json).not.toHaveProperty("status");
    await server.stop();
  });

  test.each([
    ["9100", "expected HOST:PORT"],
    ["", "expected a value"],
    ["127.0.0.1:99999", "expected HOST:PORT"],
    ["0.0.0.0:0", "--insecure"],
    ["status.example:9100", "--insecure"],
  ])("--status %j is refused", async (place, text) => {
    const outcome = await home.run(["serve", "app", "--socket", "s7", "--status", place, "--json"]);
    expect(errorOf(outcome)).toMatchObject({
      code: "USAGE_INVALID",
      message: expect.stringContaining(text) as string,
    });
  });

  test("an address that others reach is taken with --insecure", async () => {
    const args = ["app", "--socket", "s8", "--status", "0.0.0.0:0", "--insecure"];
    const server = await startServe(home, args);
    expect(await get(placeOf(server), "/metrics")).toMatch(/^# HELP lambda_img_/);
    await server.stop();
  });

  test("where it cannot listen, the server does not start", async () => {
    const other = createServer();
    other.listen({ host: "127.0.0.1", port: 0 });
    await once(other, "listening");
    const { port } = other.address() as { readonly port: number };
    try {
      const args = ["serve", "app", "--socket", "s9", "--status", `127.0.0.1:${port}`, "--json"];
      expect(errorOf(await home.run(args))).toMatchObject({ code: "LISTEN_UNAVAILABLE" });
      expect(existsSync(inHome("s9"))).toBe(false);
    } finally {
      other.close();
    }
  });
});
