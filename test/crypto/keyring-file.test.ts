import { chmod, mkdtemp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";

import { afterEach, beforeEach, expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { openKeyringFile } from "../../src/crypto/keyring-file.ts";
import vectors from "../../fixtures/vectors/manifest.json" with { type: "json" };

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lambda-img-key-"));
  path = join(directory, "key.json");
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function failure(work: Promise<unknown>): Promise<LambdaImgError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(LambdaImgError);
  return error as LambdaImgError;
}

const goodText = `{"format":"lambda-img keyring","version":1,"key":"${vectors.customerKeyBase64}"}\n`;

test("an absent key file is made once, for its owner only, and read ever after", async () => {
  const nested = join(directory, "a", "b", "key.json");
  const made = await openKeyringFile(nested, { create: true });
  expect(made.isNew).toBe(true);
  expect((await stat(nested)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, "a"))).mode & 0o777).toBe(0o700);
  expect(await readdir(join(directory, "a", "b"))).toEqual(["key.json"]);
  const read = await openKeyringFile(nested, { create: true });
  expect(read.isNew).toBe(false);
  expect(read.customerId).toBe(made.customerId);
  const text = await readFile(nested, "utf8");
  expect(text).toMatch(/^\{"format":"lambda-img keyring","version":1,"key":"[A-Za-z0-9+/]{43}="\}\n$/);
});

test("two key files hold two keys", async () => {
  const first = await openKeyringFile(path, { create: true });
  const second = await openKeyringFile(`${path}2`, { create: true });
  expect(second.customerId).not.toBe(first.customerId);
});

test("a key file written by hand opens", async () => {
  await writeFile(path, goodText, { mode: 0o600 });
  expect((await openKeyringFile(path, { create: false })).customerId).toBe(vectors.customerId);
});

test("of many that race to make the file one wins, and all use its key", async () => {
  const all = await Promise.all(Array.from({ length: 16 }, () => openKeyringFile(path, { create: true })));
  expect(new Set(all.map((keyring) => keyring.customerId)).size).toBe(1);
  expect(all.filter((keyring) => keyring.isNew)).toHaveLength(1);
  expect(await readdir(directory)).toEqual(["key.json"]);
});

test("an absent file is not found where it shall not be made", async () => {
  expect((await failure(openKeyringFile(path, { create: false }))).code).toBe("KEY_NOT_FOUND");
  expect(await readdir(directory)).toEqual([]);
});

test.each([
  ["no JSON", `${vectors.customerKeyBase64}\n`, "expected JSON"],
  ["null", "null", "expected an object"],
  ["another format", goodText.replace("lambda-img keyring", "keyring"), "expected format"],
  ["another version", goodText.replace(":1", ":2"), "expected version 1"],
  ["one member more", goodText.replace("{", '{"x":1,'), "nothing else"],
  ["no key", '{"format":"lambda-img keyring","version":1,"keys":""}', "32 bytes"],
  ["a short key", goodText.replace(vectors.customerKeyBase64, "AAAA"), "32 bytes"],
  ["an empty file", "", "expected JSON"],
  ["too much", " ".repeat(65537), "too large"],
])("a key file is refused that is %s, without a word of its content", async (_, text, rule) => {
  await writeFile(path, text, { mode: 0o600 });
  const error = await failure(openKeyringFile(path, { create: true }));
  expect(error.code).toBe("KEY_INVALID");
  expect(error.message).toContain(rule);
  expect(`${error.message} ${String(error.cause)}`).not.toContain(vectors.customerKeyBase64.slice(0, 8));
  expect(await readFile(path, "utf8")).toBe(text);
});

test.each([0o640, 0o604, 0o620, 0o666, 0o601])("a key file of mode %o is refused", async (mode) => {
  await writeFile(path, goodText);
  await chmod(path, mode);
  const error = await failure(openKeyringFile(path, { create: true }));
  expect(error.code).toBe("KEY_INVALID");
  expect(error.message).toContain(`expected mode 0600, found 0${mode.toString(8)}`);
});

test("a directory in the file's place is refused", async () => {
  await mkdir(path);
  expect((await failure(openKeyringFile(path, { create: true }))).code).toBe("KEY_INVALID");
});

test("a named pipe in the file's place is refused and not waited for", async () => {
  execFileSync("mkfifo", ["-m", "600", path]);
  const error = await failure(openKeyringFile(path, { create: true }));
  expect(error.message).toContain("expected a regular file");
});

test("a link to nowhere is not written through", async () => {
  await symlink(join(directory, "elsewhere"), path);
  expect((await failure(openKeyringFile(path, { create: true }))).code).toBe("KEY_NOT_FOUND");
  expect(await readdir(directory)).toEqual(["key.json"]);
});

test("a directory that cannot be made is a clear error", async () => {
  await writeFile(path, goodText, { mode: 0o600 });
  const error = await failure(openKeyringFile(join(path, "below.json"), { create: true }));
  expect(error.code).toBe("KEY_INVALID");
  expect(error.message).toContain("ENOTDIR");
});

test("a directory that is a link to nowhere is a clear error", async () => {
  await symlink(join(directory, "elsewhere"), join(directory, "link"));
  const error = await failure(
    openKeyringFile(join(directory, "link", "below", "key.json"), { create: true }),
  );
  expect(error.code).toBe("KEY_INVALID");
});
