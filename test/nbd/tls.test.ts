/** NBD_OPT_STARTTLS (proto.md, "TLS support"), with certificates by openssl and clients by libnbd. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import path from "node:path";

import { expect, test } from "vitest";

import { describeWith, run } from "../support/judge.ts";
import type { NbdTls } from "../../src/nbd/export.ts";
import { Client, goBody } from "./client.ts";
import { MemoryDevice, patternBytes } from "./_memory-device.ts";
import { makeFolder, serve } from "./serving.ts";

const TLS_REQD = 0x80000005;
const STARTTLS = 5;
const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A folder as libnbd wants it, and the server's side of it; `stranger` is signed by somebody else. */
async function makeCertificates(): Promise<{ folder: string; stranger: string; tls: NbdTls }> {
  const folder = makeFolder();
  const stranger = path.join(folder, "stranger");
  mkdirSync(stranger);
  await makeAuthority(folder);
  await sign(folder, "server", "localhost");
  await makeAuthority(stranger);
  await sign(stranger, "client", "stranger");
  // The stranger trusts our server, which does not trust the stranger.
  writeFileSync(path.join(stranger, "ca-cert.pem"), readFileSync(path.join(folder, "ca-cert.pem")));
  const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");
  return {
    folder,
    stranger,
    tls: { certificate: read("server-cert.pem"), privateKey: read("server-key.pem"), isRequired: true },
  };
}

async function makeAuthority(folder: string): Promise<void> {
  const names = ["-keyout", path.join(folder, "ca-key.pem"), "-out", path.join(folder, "ca-cert.pem")];
  const kind = [
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=authority ${path.basename(folder)}`,
  ];
  await run("openssl", ["req", "-x509", ...kind, ...names]);
}

async function sign(folder: string, name: string, host: string): Promise<void> {
  const file = (ending: string): string => path.join(folder, `${name}-${ending}`);
  const request = [...NEW_KEY, "-keyout", file("key.pem"), "-subj", `/CN=${host}`];
  await run("openssl", ["req", "-new", ...request, "-out", file("request.pem")]);
  writeFileSync(file("names"), `subjectAltName=DNS:${host}\n`);
  const authority = ["-CA", path.join(folder, "ca-cert.pem"), "-CAkey", path.join(folder, "ca-key.pem")];
  const output = ["-CAcreateserial", "-days", "2", "-extfile", file("names"), "-out", file("cert.pem")];
  await run("openssl", ["x509", "-req", "-in", file("request.pem"), ...authority, ...output]);
}

function uriOf(scheme: string, socket: string, folder: string): string {
  return `${scheme}://localhost/?socket=${socket}&tls-certificates=${folder}`;
}

describeWith(["openssl", "nbdinfo", "nbdcopy"], "TLS", () => {
  test("libnbd reads an export over it, and gets nothing without it", async () => {
    const { folder, tls } = await makeCertificates();
    const device = new MemoryDevice(3 << 20).fill(0, patternBytes(3 << 20));
    const { path: socket, uri } = await serve({ "": device }, { tls });
    const secure = uriOf("nbds+unix", socket, folder);
    const found = JSON.parse(await run("nbdinfo", ["--json", secure])) as Record<string, unknown>;
    expect(found).toMatchObject({ TLS: true, structured: true });
    const file = path.join(folder, "copy");
    await run("nbdcopy", [secure, file]);
    expect(readFileSync(file).equals(device.bytes)).toBe(true);
    writeFileSync(file, patternBytes(3 << 20, 5));
    await run("nbdcopy", ["--flush", file, secure]);
    expect(readFileSync(file).equals(device.bytes)).toBe(true);
    await expect(run("nbdinfo", [uri])).rejects.toThrow(/Operation not supported/);
  });

  test("is the client's choice where it is not required", async () => {
    const { folder, tls } = await makeCertificates();
    const { path: socket, uri } = await serve(
      { "": new MemoryDevice(4096) },
      { tls: { ...tls, isRequired: false } },
    );
    for (const [target, isSecure] of [
      [uriOf("nbds+unix", socket, folder), true],
      [uri, false],
    ] as const) {
      expect(JSON.parse(await run("nbdinfo", ["--json", target]))).toMatchObject({ TLS: isSecure });
    }
  });

  test("lets in only clients with a certificate, where that is asked for", async () => {
    const { folder, stranger, tls } = await makeCertificates();
    const clientAuthorities = readFileSync(path.join(folder, "ca-cert.pem"), "utf8");
    const serving = await serve({ "": new MemoryDevice(4096) }, { tls: { ...tls, clientAuthorities } });
    const { path: socket, problems } = serving;
    await expect(run("nbdinfo", [uriOf("nbds+unix", socket, folder)])).rejects.toThrow(/nbdinfo/);
    await expect(run("nbdinfo", [uriOf("nbds+unix", socket, stranger)])).rejects.toThrow(/nbdinfo/);
    expect(problems.length).toBeGreaterThanOrEqual(2);
    expect(problems.every(({ error }) => (error as { code?: string }).code === "NBD_PROTOCOL")).toBe(true);
    await sign(folder, "client", "friend");
    expect(await run("nbdinfo", ["--size", uriOf("nbds+unix", socket, folder)])).toBe("4096\n");
  });

  test("answers every other option with NBD_REP_ERR_TLS_REQD before it", async () => {
    const { tls } = await makeCertificates();
    const { path: socket } = await serve({ "": new MemoryDevice(4096) }, { tls });
    const client = await Client.greet(socket);
    for (const option of [3, 6, 7, 8, 9, 10, 99]) {
      expect((await client.option(option, goBody(""))).map(({ type }) => type)).toEqual([TLS_REQD]);
    }
    client.sendOption(1);
    expect(await client.rest()).toHaveLength(0);
    const other = await Client.greet(socket);
    expect((await other.option(2)).map(({ type }) => type)).toEqual([1]);
  });

  test("forgets what was agreed on before it, and is not begun twice", async () => {
    const { tls } = await makeCertificates();
    const { path: socket } = await serve(
      { "": new MemoryDevice(4096) },
      { tls: { ...tls, isRequired: false } },
    );
    const plain = await Client.greet(socket);
    expect((await plain.option(8)).map(({ type }) => type)).toEqual([1]);
    expect((await plain.option(STARTTLS)).map(({ type }) => type)).toEqual([1]);
    plain.socket.removeAllListeners("data");
    const client = Client.over(connectTls({ socket: plain.socket, rejectUnauthorized: false }));
    expect((await client.option(STARTTLS)).map(({ type }) => type)).toEqual([0x80000003]);
    const [facts] = await client.option(7, goBody(""));
    // NBD_FLAG_SEND_DF would be there after structured replies.
    expect(facts?.payload.readUInt16BE(10)).toBe(0b1101_0110_1101);
    expect((await client.run({ type: 0, size: 4096 }))[0]).toMatchObject({ isStructured: false, error: 0 });
    client.destroy();
  });

  test("is refused where bytes were put behind its option", async () => {
    const { tls } = await makeCertificates();
    const { path: socket, problems } = await serve({ "": new MemoryDevice(4096) }, { tls });
    const client = await Client.greet(socket);
    client.send(Buffer.from("49484156454f5054" + "0000000500000000" + "49484156454f5054", "hex"));
    expect(await client.rest()).toHaveLength(0);
    expect(problems).toMatchObject([{ error: { code: "NBD_PROTOCOL" } }]);
  });

  test.each([
    ["does not speak it", Buffer.from("hello, this is no TLS\n")],
    ["leaves", undefined],
  ])("ends with a client that %s, and the server goes on", async (_name, bytes) => {
    const { folder, tls } = await makeCertificates();
    const { path: socket, server, problems } = await serve({ "": new MemoryDevice(4096) }, { tls });
    const client = await Client.greet(socket);
    await client.option(STARTTLS);
    if (bytes === undefined) client.destroy();
    else client.send(bytes);
    while (server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(problems).toMatchObject([{ error: { code: "NBD_PROTOCOL" } }]);
    expect(await run("nbdinfo", ["--size", uriOf("nbds+unix", socket, folder)])).toBe("4096\n");
  });
});
