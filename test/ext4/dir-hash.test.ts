// ⚡ uses: file system, process
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { hashName } from "../../src/ext4/dir-hash.ts";
import { HASH_SEED } from "../../src/ext4/profile.ts";
import { COLLIDING_NAMES } from "../support/colliding-names.ts";
import { run, testWith } from "../support/judge.ts";

type Seed = readonly [number, number, number, number];

/** The start values of MD4, which the kernel uses where a file system has no seed. */
const MD4_START: Seed = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/** The seed as debugfs takes it: a UUID of the four words, little-endian. */
function uuidOf(seed: Seed): string {
  const view = new DataView(new ArrayBuffer(16));
  seed.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  const hex = Array.from(new Uint8Array(view.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** What debugfs makes of ASCII names; of others it takes the characters as signed, which ours are not. */
async function hashesOfDebugfs(names: readonly string[], seed: Seed): Promise<string[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-hash-"));
  try {
    const script = path.join(folder, "script");
    writeFileSync(script, names.map((name) => `dx_hash -h half_md4 -s ${uuidOf(seed)} ${name}\n`).join(""));
    const printed = await run("debugfs", ["-f", script]);
    return [...printed.matchAll(/^Hash of (\S+) is (0x[0-9a-f]+) \(minor (0x[0-9a-f]+)\)$/gm)].map(
      ([, name = "", hash = "", minor = ""]) => `${name} ${hash} ${minor}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function line(name: string, seed: Seed): string {
  const { hash, minor } = hashName(asByteString(name), seed);
  return `${name} 0x${hash.toString(16).padStart(8, "0")} 0x${minor.toString(16).padStart(8, "0")}`;
}

const padded = (text: string): string =>
  text.replace(/0x([0-9a-f]+)/g, (_, digits: string) => `0x${digits.padStart(8, "0")}`);

describe("the hash of a name", () => {
  testWith(["debugfs"], "is what debugfs makes of it, for every length and several seeds", async () => {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    const names = Array.from({ length: 255 }, (_, i) =>
      Array.from({ length: i + 1 }, (__, at) => letters[(i * 31 + at * at + at) % letters.length]).join(""),
    );
    const words = ["lost+found", "Dockerfile", "__pycache__", "node_modules", "libc.so.6", "~", "@"];
    for (const seed of [HASH_SEED, MD4_START, [1, 2, 3, 4]] as const) {
      const all = [...names, ...words];
      expect((await hashesOfDebugfs(all, seed)).map(padded)).toEqual(all.map((name) => line(name, seed)));
    }
  });

  test.each([
    // From debugfs 1.47: dx_hash -h half_md4 -s 1e4451dc-0054-9636-7836-a9119dffa3e0 NAME
    ["a", 0x802ff22c, 0x465657c7],
    ["name", 0x42f6dcf2, 0xae026359],
    ["x".repeat(31), 0x701541d0, 0x0fabcc73],
    ["x".repeat(32), 0x78f77554, 0x793776c5],
    ["x".repeat(33), 0x45498546, 0x470f9209],
    ["x".repeat(255), 0xe696ec2c, 0x80f892c9],
  ])("of %j is stable", (name, hash, minor) => {
    expect(hashName(asByteString(name), HASH_SEED)).toEqual({ hash, minor });
  });

  test.each([
    // From an implementation of its own for this table; test/oracle has the kernel look such names up.
    ["\xff\x80\xc3\xa9", 0x2364bca6, 0x128b259a],
    ["\xff".repeat(40), 0x5e2c3792, 0xa9105785],
    ["\xc3\xa9t\xc3\xa9", 0x02da8880, 0x5e346aff],
  ])("takes characters as unsigned: %j", (name, hash, minor) => {
    expect(hashName(asByteString(name), HASH_SEED)).toEqual({ hash, minor });
  });

  test("has a low bit of zero, and never the position that means the end", () => {
    for (let i = 0; i < 2000; i++) {
      const { hash } = hashName(asByteString(`n${i}`), HASH_SEED);
      expect(hash % 2).toBe(0);
      expect(hash).toBeLessThan(0xfffffffe);
    }
  });

  test("is one for names that were made to collide, with other minor hashes", () => {
    const hashes = COLLIDING_NAMES.map((name) => hashName(asByteString(name), HASH_SEED));
    expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
    expect(new Set(hashes.map(({ minor }) => minor)).size).toBe(COLLIDING_NAMES.length);
  });
});
