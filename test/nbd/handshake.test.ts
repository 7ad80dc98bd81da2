/** The handshake, message by message (proto.md, "Handshake phase"). */
import { describe, expect, test } from "vitest";

import { LambdaImgError, type ErrorCode } from "../../src/base/error.ts";
import { Client, contextBody, goBody } from "./client.ts";
import { MemoryDevice } from "./_memory-device.ts";
import { serve } from "./serving.ts";

const REP = { ACK: 1, SERVER: 2, INFO: 3, META: 4 };
const ERR = {
  UNSUP: 0x80000001,
  POLICY: 0x80000002,
  INVALID: 0x80000003,
  UNKNOWN: 0x80000006,
  TOO_BIG: 0x80000009,
};
const GO = 7;
const LIST_META = 9;
const SET_META = 10;

const devices = (): Record<string, MemoryDevice> => ({
  "": new MemoryDevice(12288),
  ro: new MemoryDevice(4096, { isReadOnly: true }),
});

function codesOf(problems: readonly { readonly error: unknown }[]): unknown[] {
  return problems.map(({ error }) => (error instanceof LambdaImgError ? error.code : error));
}

test("the server greets with both magic numbers and the two flags", async () => {
  const client = await Client.open(await serve(devices()));
  expect((await client.take(18)).toString("hex")).toBe("4e42444d41474943" + "49484156454f5054" + "0003");
});

test.each([
  ["unknown client flags", Buffer.from("00000004", "hex")],
  ["a wrong magic number", Buffer.from("00000003" + "49484156454f5055" + "0000000300000000", "hex")],
  [
    "an option of a client that is not fixed newstyle",
    Buffer.from("00000002" + "49484156454f5054" + "0000000300000000", "hex"),
  ],
  ["a name of more than 64 KiB", Buffer.from("00000003" + "49484156454f5054" + "0000000100010001", "hex")],
  ["an option of 4 GiB", Buffer.from("00000003" + "49484156454f5054" + "00000063ffffffff", "hex")],
  ["a name that is not UTF-8", Buffer.from("00000003" + "49484156454f5054" + "0000000100000001ff", "hex")],
])("%s ends the connection, and is told as NBD_PROTOCOL", async (_name, bytes) => {
  const { path, problems } = await serve(devices());
  const client = await Client.open({ path });
  await client.take(18);
  client.send(bytes);
  expect(await client.rest()).toHaveLength(0);
  expect(codesOf(problems)).toEqual(["NBD_PROTOCOL"]);
});

test("more options than 4096 end the connection", async () => {
  const { path, problems } = await serve(devices());
  const client = await Client.greet(path);
  for (let count = 0; count < 4096; count++) client.sendOption(8);
  expect((await client.rest()).length).toBeLessThanOrEqual(20 * 4096);
  expect(codesOf(problems)).toEqual(["NBD_PROTOCOL"]);
});

describe("NBD_OPT_EXPORT_NAME", () => {
  test.each([
    [1, 134],
    [0, 134],
    [3, 10],
    [2, 10],
  ])("after client flags %i is answered with %i bytes", async (flags, size) => {
    const { path } = await serve(devices());
    const client = await Client.greet(path, flags);
    client.sendOption(1);
    const reply = await client.take(size);
    expect(reply.readBigUInt64BE(0)).toBe(12288n);
    expect(reply.readUInt16BE(8)).toBe(0b1101_0110_1101);
    expect(reply.subarray(10).every((byte) => byte === 0)).toBe(true);
    expect((await client.run({ type: 0, size: 512 }))[0]?.payload).toHaveLength(512);
  });

  test("of a name that does not exist ends the connection", async () => {
    const { path } = await serve(devices());
    const client = await Client.greet(path);
    client.sendOption(1, Buffer.from("gone"));
    expect(await client.rest()).toHaveLength(0);
  });
});

describe("options", () => {
  const big = Buffer.alloc(65537);
  test.each<[string, number, Buffer, readonly number[]]>([
    ["unknown", 99, Buffer.from("abc"), [ERR.UNSUP]],
    ["PEEK_EXPORT, withdrawn", 4, Buffer.alloc(0), [ERR.UNSUP]],
    ["EXTENDED_HEADERS", 11, Buffer.alloc(0), [ERR.UNSUP]],
    ["unknown and too long", 99, big, [ERR.TOO_BIG]],
    ["GO, too long", GO, big, [ERR.TOO_BIG]],
    ["LIST", 3, Buffer.alloc(0), [REP.SERVER, REP.SERVER, REP.ACK]],
    ["LIST with a body", 3, Buffer.from("a"), [ERR.INVALID]],
    ["STARTTLS without certificates", 5, Buffer.alloc(0), [ERR.POLICY]],
    ["STARTTLS with a body", 5, Buffer.from("a"), [ERR.INVALID]],
    ["STRUCTURED_REPLY", 8, Buffer.alloc(0), [REP.ACK]],
    ["STRUCTURED_REPLY with a body", 8, Buffer.from("a"), [ERR.INVALID]],
    ["INFO", 6, goBody(""), [REP.INFO, REP.ACK]],
    ["INFO about everything", 6, goBody("", [0, 1, 2, 3]), [REP.INFO, REP.INFO, REP.INFO, REP.INFO, REP.ACK]],
    ["INFO about what nobody knows", 6, goBody("", [77, 77]), [REP.INFO, REP.ACK]],
    ["INFO of a name that does not exist", 6, goBody("gone"), [ERR.UNKNOWN]],
    ["INFO with a name of 4096 bytes", 6, goBody("n".repeat(4096)), [ERR.UNKNOWN]],
    ["INFO with a name of 4097 bytes", 6, goBody("n".repeat(4097)), [ERR.INVALID]],
    ["INFO with a name that holds a NUL", 6, goBody("a\0"), [ERR.INVALID]],
    ["INFO with a name that is not UTF-8", 6, goBody(Buffer.from([0xc3, 0x28])), [ERR.INVALID]],
    ["INFO without a body", 6, Buffer.alloc(0), [ERR.INVALID]],
    ["INFO with a name beyond its body", 6, Buffer.from("0000000500", "hex"), [ERR.INVALID]],
    ["INFO with a name of 4 GiB", 6, Buffer.from("ffffffff00000000", "hex"), [ERR.INVALID]],
    ["INFO with fewer kinds than announced", 6, goBody("", [1]).fill(9, 4, 6), [ERR.INVALID]],
    ["INFO with something behind", 6, Buffer.concat([goBody("", [1]), Buffer.from("a")]), [ERR.INVALID]],
    ["LIST_META_CONTEXT without structured replies", LIST_META, contextBody("", []), [ERR.INVALID]],
    ["SET_META_CONTEXT without structured replies", SET_META, contextBody("", []), [ERR.INVALID]],
  ])("%s", async (_name, option, body, types) => {
    const { path } = await serve(devices());
    const client = await Client.greet(path);
    const replies = await client.option(option, body);
    expect(replies.map(({ type }) => type)).toEqual(types);
    expect(replies.every((reply) => reply.option === option)).toBe(true);
    // Whatever it was, the next option is understood.
    expect((await client.option(GO, goBody(""))).at(-1)?.type).toBe(REP.ACK);
  });

  const context = "00000001";
  test.each<[string, number, Buffer, readonly (readonly [number, string])[]]>([
    [
      "LIST, all",
      LIST_META,
      contextBody("", []),
      [
        [REP.META, "00000000"],
        [REP.ACK, ""],
      ],
    ],
    [
      "LIST, a namespace",
      LIST_META,
      contextBody("", ["base:"]),
      [
        [REP.META, "00000000"],
        [REP.ACK, ""],
      ],
    ],
    ["LIST, another one", LIST_META, contextBody("", ["qemu:"]), [[REP.ACK, ""]]],
    ["LIST, no namespace", LIST_META, contextBody("", ["base"]), [[ERR.INVALID, ""]]],
    ["LIST, no such export", LIST_META, contextBody("gone", []), [[ERR.UNKNOWN, ""]]],
    ["SET, none", SET_META, contextBody("", []), [[REP.ACK, ""]]],
    ["SET, a namespace, which is no context", SET_META, contextBody("", ["base:"]), [[REP.ACK, ""]]],
    [
      "SET, ours among others",
      SET_META,
      contextBody("", ["x-a:b", "base:allocation"]),
      [
        [REP.META, context],
        [REP.ACK, ""],
      ],
    ],
    [
      "SET, more queries than there are",
      SET_META,
      contextBody("", ["a:b"]).fill(255, 4, 8),
      [[ERR.INVALID, ""]],
    ],
    [
      "SET, something behind",
      SET_META,
      Buffer.concat([contextBody("", []), Buffer.from("a")]),
      [[ERR.INVALID, ""]],
    ],
  ])("META_CONTEXT: %s", async (_name, option, body, expected) => {
    const { path } = await serve(devices());
    const client = await Client.greet(path);
    await client.option(8);
    const replies = await client.option(option, body);
    expect(replies.map(({ type, payload }) => [type, payload.toString("hex", 0, 4)])).toEqual(expected);
    if (replies.length === 2) expect(replies[0]?.payload.toString("latin1", 4)).toBe("base:allocation");
  });

  test("NBD_INFO_* say name, description and block sizes", async () => {
    const { path } = await serve({
      open: () =>
        Promise.resolve({
          name: "canonical",
          description: "größer",
          device: new MemoryDevice(4096),
          hasFastZeroes: false,
          close: () => Promise.resolve(),
        }),
    });
    const client = await Client.greet(path);
    const replies = await client.option(6, goBody("alias", [3, 2, 1]));
    expect(replies.map(({ payload }) => payload.toString("latin1"))).toEqual([
      "\0\0\0\0\0\0\0\0\x10\0\x0d\x6d",
      "\0\x01canonical",
      "\0\x02" + Buffer.from("größer").toString("latin1"),
      "\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0",
      "",
    ]);
    expect((await client.option(3)).map(({ type }) => type)).toEqual([ERR.POLICY]);
  });

  test("ABORT is acknowledged, and the connection closed", async () => {
    const { path, server } = await serve(devices());
    const client = await Client.greet(path);
    expect((await client.option(2)).map(({ type }) => type)).toEqual([REP.ACK]);
    expect(await client.rest()).toHaveLength(0);
    expect(server.connectionCount).toBeLessThanOrEqual(1);
  });
});

test.each([
  ["writable", "", false, 0b1101_0110_1101],
  ["writable, structured", "", true, 0b1101_1110_1101],
  ["read-only", "ro", false, 0b0101_0000_0111],
  ["read-only, structured", "ro", true, 0b0101_1000_0111],
])("the transmission flags of an export: %s", async (_name, name, isStructured, flags) => {
  const { path } = await serve(devices());
  const client = await Client.greet(path);
  if (isStructured) await client.option(8);
  const [reply] = await client.option(GO, goBody(name));
  expect(reply?.payload.readUInt16BE(10)).toBe(flags);
});

test.each<[ErrorCode, number]>([
  ["IMAGE_NOT_FOUND", ERR.UNKNOWN],
  ["STORE_UNAVAILABLE", ERR.UNKNOWN],
  ["CHUNK_CORRUPT", ERR.UNKNOWN],
  ["STORE_FORBIDDEN", ERR.POLICY],
  ["DISK_TOO_LARGE", ERR.POLICY],
])("an export that cannot be opened (%s) is refused with the code alone", async (code, type) => {
  const error = new LambdaImgError(code, "a message with a path");
  const { path, problems } = await serve({
    open: () => Promise.reject(error),
    list: () => Promise.reject(error),
  });
  const client = await Client.greet(path);
  for (const [option, body] of [
    [GO, goBody("x")],
    [6, goBody("x")],
    [3, Buffer.alloc(0)],
  ] as const) {
    const [reply] = await client.option(option, body);
    expect([reply?.type, reply?.payload.toString()]).toEqual([type, code]);
  }
  expect(problems.map((problem) => problem.error)).toEqual([error, error, error]);
});

test("a context counts only for the export that it was set for, and only the last time", async () => {
  const { path } = await serve(devices());
  for (const [set, unset] of [
    [contextBody("ro", ["base:allocation"]), undefined],
    [contextBody("", ["base:allocation"]), contextBody("", [])],
    [contextBody("", ["base:allocation"]), Buffer.from("broken")],
  ]) {
    const client = await Client.greet(path);
    await client.option(8);
    await client.option(SET_META, set);
    if (unset !== undefined) await client.option(SET_META, unset);
    await client.option(GO, goBody(""));
    expect((await client.run({ type: 7, size: 4096 }))[0]?.error).toBe(22);
    await client.leave();
  }
});

test("who asks about an export and takes it then gets the one that was opened", async () => {
  let openCount = 0;
  const { path } = await serve({
    open: (name) => {
      openCount++;
      return Promise.resolve({
        name,
        device: new MemoryDevice(4096),
        hasFastZeroes: true,
        close: () => Promise.resolve(),
      });
    },
  });
  const client = await Client.greet(path);
  await client.option(8);
  await client.option(6, goBody("a"));
  await client.option(SET_META, contextBody("a", ["base:allocation"]));
  await client.option(GO, goBody("a"));
  expect(openCount).toBe(1);
});

test("an export that was only asked about is closed when the client leaves", async () => {
  const all = devices();
  const { path, server } = await serve(all);
  const client = await Client.greet(path);
  await client.option(6, goBody("ro"));
  await client.option(6, goBody(""));
  expect(all["ro"]?.calls.close).toBe(1);
  client.destroy();
  while (server.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(all[""]?.calls.close).toBe(1);
});

test("a client that does not read its replies gets no more of them", async () => {
  let listCount = 0;
  const names = Array.from({ length: 1000 }, (_, index) => ({ name: `${index}`.padStart(4000, "n") }));
  const { path } = await serve({
    open: () => Promise.resolve(undefined),
    list: () => {
      listCount++;
      return Promise.resolve(names);
    },
  });
  const client = await Client.greet(path);
  client.socket.pause();
  for (let count = 0; count < 10; count++) client.sendOption(3);
  while (listCount === 0) await new Promise((resolve) => setImmediate(resolve));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  // 4 MB fit no socket's buffer, so the first list is still on its way.
  expect(listCount).toBe(1);
  client.socket.resume();
  for (let count = 0; count < 10; count++) expect(await client.optionReplies()).toHaveLength(1001);
  expect(listCount).toBe(10);
});
