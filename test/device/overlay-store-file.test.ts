import { execFileSync, spawn } from "node:child_process";
import { lstat, mkdtemp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Digest } from "../../src/base/digest.ts";
import { asOverlayKey } from "../../src/crypto/overlay-seal.ts";
import {
  openOverlayFile,
  type OpenedOverlay,
  type OverlayFileOptions,
} from "../../src/device/overlay-store-file.ts";
import { expectBytes, failureOf, patterned } from "../contract/device.ts";
import { derive, hex, join as joinBytes, u16, u32, u64, unhex, utf8 } from "../support/noble.ts";
import { nobleXaes } from "../support/xaes.ts";
import { DIGEST, KEY, PAGE, pageAt, pageOfSeed, put } from "./_overlay-model.ts";

const PAGES = 16;
const IDENTITY = { key: KEY, diskDigest: DIGEST, sizeBytes: PAGES * PAGE };

let directory = "";
let path = "";

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lambda-img-overlay-"));
  path = join(directory, "overlay");
});
afterEach(() => rm(directory, { recursive: true }));

function opened(change: Partial<OverlayFileOptions> = {}): Promise<OpenedOverlay> {
  return openOverlayFile({ ...IDENTITY, path, maxBytes: PAGES * PAGE, ...change });
}

describe("the file", () => {
  test("is made once, mode 0600 whatever the umask, and holds no plain byte", async () => {
    const umask = process.umask(0o277);
    const first = await opened().finally(() => process.umask(umask));
    expect(first.isNew).toBe(true);
    const secret = new TextEncoder()
      .encode("a secret of the customer, over and over. ".repeat(100))
      .slice(0, PAGE);
    await first.store.apply([{ firstPage: 3, pageCount: 1, bytes: secret }]);
    await first.store.close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const bytes = await readFile(path);
    expect(bytes.includes("secret")).toBe(false);
    expect(bytes.includes(Buffer.from(KEY))).toBe(false);
    const second = await opened({ maxBytes: 1 });
    expect([second.isNew, second.store.maxBytes]).toEqual([false, PAGES * PAGE]);
    expectBytes(await pageAt(second.store, 3), secret);
    await second.store.close();
    expect(await readdir(directory)).toEqual(["overlay"]);
  });

  test("is mostly holes, and does not grow where pages are written again and again", async () => {
    const { store } = await opened({ maxBytes: 4 * PAGE });
    for (let round = 0; round < 1500; round++) await store.apply(put(round % 4, round));
    await store.close();
    expect(execFileSync("du", ["-B1", path]).toString().split("\t").map(Number)[0]).toBeLessThan(
      6 * 1024 * 1024,
    );
    const again = await opened();
    for (let page = 0; page < 4; page++)
      expectBytes(await pageAt(again.store, page), pageOfSeed(1496 + page));
    await again.store.close();
  });

  test("uses the room of discarded pages again", async () => {
    const { store } = await opened({ maxBytes: 4 * PAGE });
    let sizeBytes = 0;
    for (let round = 0; round < 50; round++) {
      await store.apply([{ firstPage: 0, pageCount: 4, bytes: patterned(4 * PAGE, round) }]);
      await store.apply([{ firstPage: 0, pageCount: 4 }]);
      await store.flush();
      const found = (await stat(path)).size;
      if (round === 0) sizeBytes = found;
      expect(found).toBe(sizeBytes);
    }
    await store.close();
  });

  test("is made without a trace of a process that died while it made it", async () => {
    await writeFile(`${path}.new`, "half");
    const { store, isNew } = await opened();
    expect(isNew).toBe(true);
    await store.close();
    expect(await readdir(directory)).toEqual(["overlay"]);
  });

  test.each([
    [
      "another disk image",
      { diskDigest: `sha256:${"cd".repeat(32)}` as Digest },
      /another disk image.*cdcd.*abab/,
    ],
    ["a disk image of another size", { sizeBytes: 2 * PAGES * PAGE }, /another disk image/],
    ["another key", { key: asOverlayKey(new Uint8Array(32)) }, /with this key/],
  ])("is refused for %s, and stays as it is", async (_, change, message) => {
    await (await opened()).store.close();
    const before = await readFile(path);
    expect(await failureOf(opened(change))).toBe("OVERLAY_INVALID");
    await expect(opened(change)).rejects.toThrow(message);
    expect(Buffer.compare(await readFile(path), before)).toBe(0);
    await (await opened()).store.close();
  });

  test("is refused where it is no overlay", async () => {
    await writeFile(path, "");
    expect(await failureOf(opened())).toBe("OVERLAY_INVALID");
    await writeFile(path, "something else of somebody else");
    expect(await failureOf(opened())).toBe("OVERLAY_INVALID");
    expect(await readFile(path, "utf8")).toBe("something else of somebody else");
    await rm(path);
    execFileSync("mkfifo", [path]);
    expect(await failureOf(opened())).toBe("OVERLAY_INVALID");
    await rm(path);
    await mkdir(path);
    expect(await failureOf(opened())).toBe("OVERLAY_INVALID");
    expect(await readdir(directory)).toEqual(["overlay"]);
    expect(await failureOf(opened({ path: join(directory, "no", "overlay") }))).toBe("OVERLAY_UNAVAILABLE");
  });

  test("is refused where one byte of its header is another", async () => {
    await (await opened()).store.close();
    const whole = await readFile(path);
    for (let at = 0; at < PAGE; at += at < 140 ? 1 : 509) {
      const changed = Uint8Array.from(whole);
      changed[at] = changed[at]! ^ 1;
      await writeFile(path, changed);
      const isVersion = at === 8 || at === 9;
      expect(await failureOf(opened())).toBe(isVersion ? "OVERLAY_VERSION_UNSUPPORTED" : "OVERLAY_INVALID");
    }
  });
});

test("the file reads with nothing but the page of its format and noble", async () => {
  const { store } = await opened();
  const bytes = patterned(4 * PAGE, 9);
  await store.apply([
    { firstPage: 4, pageCount: 4, bytes },
    { firstPage: 9, pageCount: 2 },
  ]);
  await store.close();
  const file = new Uint8Array(await readFile(path));
  const view = new DataView(file.buffer);
  const openWith = (key: Uint8Array, seal: Uint8Array, parts: [sealed: Uint8Array, associated: Uint8Array]) =>
    nobleXaes(key, seal.slice(0, 24), parts[1]).decrypt(joinBytes(parts[0], seal.subarray(24, 40)));
  const [pageKey, tableKey] = ["pages", "tables"].map((use) =>
    derive(KEY, `lambda-img overlay ${use} v1`, file.slice(64, 96)),
  ) as [Uint8Array, Uint8Array];
  const clear = joinBytes(
    utf8("LIMGOVLY"),
    u16(1),
    u16(0),
    u32(4096),
    u64(65536),
    u32(16),
    u32(0),
    unhex("ab".repeat(32)),
  );
  expect(hex(file.subarray(0, 64))).toBe(hex(clear));
  expect(openWith(tableKey, file.subarray(96), [new Uint8Array(0), file.slice(0, 96)])).toHaveLength(0);
  // Closing wrote marks 1 and 2 for generation 0, after one record of 252 bytes.
  const record = file.subarray(12288, 12288 + 44 + 208);
  for (const number of [1, 2]) {
    const mark = file.subarray(number === 2 ? 4096 : 8192);
    const content = openWith(tableKey, mark, [mark.slice(40, 80), utf8("overlay mark")]);
    expect(hex(content)).toBe(hex(joinBytes(u64(number), u64(0), u64(252), record.slice(28, 44))));
  }
  expect(view.getUint32(12288, true)).toBe(208);
  const payload = openWith(tableKey, record.subarray(4), [
    record.slice(44),
    joinBytes(u64(0), u64(0), u32(208)),
  ]);
  expect(hex(payload.subarray(0, 8))).toBe(hex(joinBytes(u32(4), u32(1))));
  expect(hex(payload.subarray(200))).toBe(hex(joinBytes(u32(9), u32(2))));
  for (let index = 0; index < 4; index++) {
    const entry = payload.subarray(8 + 48 * index);
    expect(hex(entry.subarray(0, 8))).toBe(hex(joinBytes(u32(4 + index), u32(index))));
    const at = 0x805000 + index * PAGE;
    const plain = openWith(pageKey, entry.subarray(8), [file.slice(at, at + PAGE), u64(4 + index)]);
    expectBytes(plain, bytes.subarray(index * PAGE, (index + 1) * PAGE));
  }
});

describe("the lock", () => {
  async function ownerOf(pid: number): Promise<string> {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const pidSpace = execFileSync("readlink", ["/proc/self/ns/pid"]).toString().replace(/\D/g, "");
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ").at(-1)!.split(" ");
    return `${boot}:${pidSpace}:${pid}:${fields[19]!}`;
  }

  test("keeps a second use away, by other names, too, and goes when the first one ends", async () => {
    const first = await opened();
    await symlink(path, join(directory, "other"));
    expect(await failureOf(opened())).toBe("OVERLAY_UNAVAILABLE");
    expect(await failureOf(opened({ path: join(directory, "other") }))).toBe("OVERLAY_UNAVAILABLE");
    await first.store.close();
    await (await opened({ path: join(directory, "other") })).store.close();
  });

  test("is never held twice, however many try at once", async () => {
    for (let round = 0; round < 10; round++) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => opened()));
      const held = tries.flatMap((result) => (result.status === "fulfilled" ? [result.value.store] : []));
      expect(held.length).toBeLessThanOrEqual(1);
      for (const store of held) await store.close();
    }
    await (await opened()).store.close();
  });

  test("of a process that died is passed over, of one that lives it is not", async () => {
    const lockPath = `${path}.lock-0123456789abcdef`;
    const child = spawn("sleep", ["1000"]);
    const text = await ownerOf(child.pid!);
    await symlink(text, lockPath);
    expect(await failureOf(opened())).toBe("OVERLAY_UNAVAILABLE");
    await expect(opened()).rejects.toThrow(`names process ${child.pid}`);
    // The same pid in an earlier life, or before the machine was started again: nobody has it now.
    for (const stale of [text.replace(/\d+$/, "1"), text.replace(/^[^:]*/, "0-0")]) {
      await rm(lockPath);
      await symlink(stale, lockPath);
      await (await opened()).store.close();
      await expect(stat(lockPath)).rejects.toThrow("ENOENT");
      await symlink(text, lockPath);
    }
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await ended;
    await (await opened()).store.close();
    expect(await readdir(directory)).toEqual(["overlay"]);
  });

  test("of a process that has ended is passed over, though its parent has not asked how", async () => {
    // The shell becomes a program that does not wait for the child that it has then.
    const parent = spawn("sh", ["-c", 'sleep 1000 & echo "$!"; exec sleep 1000'], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const pid = Number(await new Promise<Buffer>((resolve) => parent.stdout.once("data", resolve)));
      const lockPath = `${path}.lock-0123456789abcdef`;
      await symlink(await ownerOf(pid), lockPath);
      expect(await failureOf(opened())).toBe("OVERLAY_UNAVAILABLE");
      process.kill(pid, "SIGKILL");
      await expect.poll(() => readFile(`/proc/${pid}/stat`, "utf8")).toContain(") Z ");
      await (await opened()).store.close();
      await expect(lstat(lockPath)).rejects.toThrow("ENOENT");
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test.each([
    ["of a process in another container", "BOOT:1:2:3"],
    ["that nobody can read", "something"],
  ])("%s is not passed over", async (_, text) => {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    await symlink(text.replace("BOOT", boot), `${path}.lock-1`);
    expect(await failureOf(opened())).toBe("OVERLAY_UNAVAILABLE");
    await rm(`${path}.lock-1`);
    await writeFile(`${path}.lock-1`, "");
    expect(await failureOf(opened())).toBe("OVERLAY_UNAVAILABLE");
  });
});
