import type * as Promises from "node:fs/promises";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { errnoOf } from "../../src/base/error.ts";
import { giveNewName, isWithoutHardLinks } from "../../src/base/new-name.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

/** What the file system says to link(2) and to rename(2), where it is not what the real one says. */
const says = vi.hoisted(() => ({ link: "", rename: "" }));

function failure(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(code), { code }));
}

vi.mock("node:fs/promises", async (load) => {
  const real = await load<typeof Promises>();
  return {
    ...real,
    link: (from: string, to: string) => (says.link === "" ? real.link(from, to) : failure(says.link)),
    rename: (from: string, to: string) => (says.rename === "" ? real.rename(from, to) : failure(says.rename)),
  };
});

let folder: ReturnType<typeof temporaryDirectory>;
let whole: string;
let name: string;
beforeEach(async () => {
  folder = temporaryDirectory();
  whole = join(folder.path, "whole");
  name = join(folder.path, "name");
  await writeFile(whole, "new");
});
afterEach(() => {
  says.link = "";
  says.rename = "";
  folder.remove();
});

async function codeOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => "",
    (error: unknown) => errnoOf(error),
  );
}

describe.each(["", "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])("where link(2) says '%s'", (link) => {
  beforeEach(() => {
    says.link = link;
  });

  test("a file gets a name that nobody has", async () => {
    await giveNewName(whole, name);
    expect(await readFile(name, "utf8")).toBe("new");
  });

  test("a name that is taken stays with its file", async () => {
    await writeFile(name, "old");
    expect(await codeOf(giveNewName(whole, name))).toBe("EEXIST");
    expect(await readFile(name, "utf8")).toBe("old");
    expect(await readFile(whole, "utf8")).toBe("new");
  });

  test("of many files one gets the name", async () => {
    const files = Array.from({ length: 8 }, (_, index) => join(folder.path, `file-${index}`));
    for (const file of files) await writeFile(file, file);
    const codes = await Promise.all(files.map((file) => codeOf(giveNewName(file, name))));
    expect(codes.filter((code) => code === "EEXIST")).toHaveLength(7);
    expect(await readFile(name, "utf8")).toBe(files[codes.indexOf("")]);
  });
});

test("a failure that says nothing of hard links passes", async () => {
  says.link = "EIO";
  expect(await codeOf(giveNewName(whole, name))).toBe("EIO");
  expect(await readdir(folder.path)).toEqual(["whole"]);
});

test("a name that was taken for a file that could not be renamed is given back", async () => {
  Object.assign(says, { link: "EPERM", rename: "ENOSPC" });
  expect(await codeOf(giveNewName(whole, name))).toBe("ENOSPC");
  expect(await readdir(folder.path)).toEqual(["whole"]);
});

test("only an error of a system call tells of hard links", () => {
  expect(isWithoutHardLinks(Object.assign(new Error("EPERM"), { code: "EPERM" }))).toBe(true);
  expect(isWithoutHardLinks(Object.assign(new Error("EEXIST"), { code: "EEXIST" }))).toBe(false);
  expect(isWithoutHardLinks(new Error("EPERM"))).toBe(false);
});
