/** Stores in which one image cannot be read: the others can, and what cannot is named. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf, type CliResult } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LOWER, writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

const BAD = "b/B:1";

/** The files of an image in a store. */
interface Files {
  readonly ref: string;
  readonly manifest: string;
}

interface Unreadable {
  readonly name?: string;
  readonly manifest?: string;
  readonly code: string;
  readonly kind: string;
  readonly message: string;
}

type Damage = readonly [what: string, status: number, code: string, message: RegExp, (files: Files) => void];

const truncated: Damage = [
  "a ref that was cut short",
  5,
  "STORE_INVALID",
  /^b\/B:1: cannot read the ref: .*: expected JSON in UTF-8$/,
  ({ ref }) => {
    truncateSync(ref, 12);
  },
];
const flippedRef: Damage = [
  "a ref with another digit",
  4,
  "MANIFEST_NOT_FOUND",
  /^b\/B:1: manifest sha256:[0-9a-f]{64}: not in the store$/,
  ({ ref }) => {
    const flip = (digit: string): string => (digit === "0" ? "1" : "0");
    const text = readFileSync(ref, "utf8");
    writeFileSync(ref, text.replace(/(?<=sha256:)./, flip));
  },
];
const flippedManifest: Damage = [
  "a manifest with another byte",
  6,
  "DIGEST_MISMATCH",
  /^b\/B:1: manifest: digest mismatch: expected sha256:.*, found sha256:/,
  ({ manifest }) => {
    const bytes = readFileSync(manifest);
    bytes[200]! ^= 1;
    writeFileSync(manifest, bytes);
  },
];
const loop: Damage = [
  "a loop of symlinks for a ref",
  5,
  "STORE_INVALID",
  /^b\/B:1: cannot read the ref: .*\/refs\/[0-9a-f]{16}\/b%2f%42%3a1: ELOOP$/,
  ({ ref }) => {
    rmSync(ref);
    symlinkSync(ref, ref);
  },
];
const removedManifest: Damage = [
  "a manifest that is gone",
  4,
  "MANIFEST_NOT_FOUND",
  /^b\/B:1: manifest sha256:[0-9a-f]{64}: not in the store$/,
  ({ manifest }) => {
    rmSync(manifest);
  },
];
const DAMAGES = [truncated, flippedRef, flippedManifest, loop, removedManifest];

describe.skipIf(!isBuilt)("images that cannot be read (needs npm run build)", () => {
  let home: CliHome;
  let storeCount = 0;
  const manifests = new Map<string, string>();

  beforeAll(async () => {
    home = new CliHome();
    for (const name of ["a", BAD, "c"]) {
      writeApp(home.path, [LOWER, tarBuilder().file("own", name.repeat(200_000)).end()]);
      const { manifest } = jsonOf(await home.run(["convert", "oci:app", "--name", name, "--json"]));
      manifests.set(name, String(manifest));
    }
  });
  afterAll(() => {
    home.remove();
  });

  /** A copy of the store, and where an image's files are in it. */
  function copyStore(): { readonly store: string; readonly filesOf: (name: string) => Files } {
    const store = path.join(home.path, `store-${storeCount++}`);
    cpSync(home.storePath, store, { recursive: true });
    const inStore = (kind: string, file: string): string => {
      const [customer = ""] = readdirSync(path.join(store, "roots/r0", kind));
      return path.join(store, "roots/r0", kind, customer, file);
    };
    return {
      store,
      filesOf: (name) => ({
        ref: inStore("refs", name === BAD ? "b%2f%42%3a1" : name),
        manifest: inStore("manifests", (manifests.get(name) ?? "").slice("sha256:".length)),
      }),
    };
  }

  /** A store with one bad image. */
  function damaged(damage: (files: Files) => void): string {
    const { store, filesOf } = copyStore();
    damage(filesOf(BAD));
    return store;
  }

  const warningsOf = ({ stderr }: CliResult): string[] =>
    stderr.split("\n").filter((line) => line.startsWith("lambda-img: warning: "));

  const resultOf = (found: CliResult): Record<string, unknown> => jsonOf({ ...found, status: 0 });

  test.each(DAMAGES)("%s: images and stats tell of the others", async (...damage) => {
    const [, status, code, message, make] = damage;
    const store = damaged(make);
    for (const command of ["images", "stats"]) {
      const found = await home.run([command, "--store", store, "--json"]);
      expect([command, found.status]).toEqual([command, status]);
      const { images, unreadable } = resultOf(found) as {
        images: { name?: string; names?: string[] }[];
        unreadable: Unreadable[];
      };
      expect(images.flatMap(({ name, names }) => name ?? names ?? [])).toEqual(["a", "c"]);
      expect(unreadable).toMatchObject([{ name: BAD, code }]);
      expect(unreadable[0]?.message).toMatch(message);
      const [warning = "", ...more] = warningsOf(found);
      expect(more).toEqual([]);
      expect(warning).toBe(`lambda-img: warning: ${unreadable[0]?.message ?? ""} (${code})`);
      const error = errorOf(found);
      expect(error).toMatchObject({
        type: "error",
        code,
        kind: unreadable[0]?.kind,
        details: { image: BAD },
      });
      expect(String(error["message"])).toMatch(/^cannot read 1 of \d images: b\/B:1$/);
      const text = await home.run([command, "--store", store]);
      expect([text.status, warningsOf(text)]).toEqual([status, [warning]]);
      expect(text.stdout).toMatch(/\ba\b[^]*\bc\b/);
      expect(text.stderr.trimEnd().split("\n").at(-1)).toMatch(
        /^lambda-img: error: cannot read 1 of \d images/,
      );
    }
  });

  test.each(DAMAGES)("%s: commands that are given the name say the name", async (...damage) => {
    const [, status, code, message, make] = damage;
    const store = damaged(make);
    for (const args of [
      ["inspect", BAD],
      ["ls", BAD],
      ["cat", BAD, "own"],
      ["export", BAD, "-o", "x"],
      ["verify", BAD],
      ["diff", "a", BAD],
      ["serve", BAD],
      ["serve", "a", BAD],
    ]) {
      const found = await home.run([...args, "--store", store, "--json"]);
      expect([args, found.status, found.stdout]).toEqual([args, status, ""]);
      expect(errorOf(found)).toMatchObject({ code, details: { image: BAD } });
      expect(String(errorOf(found)["message"])).toMatch(message);
    }
    expect(existsSync(path.join(home.path, "x"))).toBe(false);
    // By its id the manifest is found without the name.
    const byId = await home.run(["inspect", manifests.get(BAD) ?? "", "--store", store]);
    expect(byId.status).toBe([truncated, flippedRef, loop].some(([what]) => what === damage[0]) ? 0 : status);
  });

  test.each(DAMAGES)("%s: serve without names serves the others", async (...damage) => {
    const [, , code, message, make] = damage;
    const server = await startServe(home, ["--store", damaged(make), "--socket", "s"]);
    const names = (server.json["exports"] as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual(["a", "c"]);
    const lines = server.stderr().trimEnd().split("\n");
    expect(lines.length).toBe(1);
    const said = /^lambda-img: warning: (.*) \(([A-Z_]+)\); it is not served$/.exec(lines[0] ?? "");
    expect(said?.[1]).toMatch(message);
    expect(said?.[2]).toBe(code);
    expect(await server.stop()).toEqual({ status: 0, signal: null });
  });

  testWith(
    ["nbdinfo"],
    "a ref that cannot be read is no export, and who asks for it is told so",
    async () => {
      const server = await startServe(home, ["--store", damaged(truncated[4]), "--socket", "t"]);
      const found = JSON.parse(await run("nbdinfo", ["--json", "--list", server.uri])) as {
        exports: { "export-name": string }[];
      };
      expect(found.exports.map((each) => each["export-name"])).toEqual(["a", "c"]);
      await expect(run("nbdinfo", [server.uri.replace("///", "///b%2FB:1")])).rejects.toThrow();
      await server.said(/warning: b\/B:1: cannot read the ref: [^\n]*expected JSON in UTF-8\n/);
    },
  );

  test("of several the status is that of the first in byte order of names", async () => {
    const { store, filesOf } = copyStore();
    truncated[4](filesOf("c"));
    flippedManifest[4](filesOf(BAD));
    for (const command of ["images", "stats"]) {
      const found = await home.run([command, "--store", store, "--json"]);
      expect([found.status, warningsOf(found).length]).toEqual([6, 2]);
      const { unreadable } = resultOf(found) as { unreadable: Unreadable[] };
      expect(unreadable.map(({ name, code, manifest }) => [name, code, manifest])).toEqual([
        [BAD, "DIGEST_MISMATCH", manifests.get(BAD)],
        ["c", "STORE_INVALID", undefined],
      ]);
      expect(errorOf(found)).toMatchObject({ code: "DIGEST_MISMATCH" });
      expect(errorOf(found)["message"]).toMatch(/^cannot read 2 of \d images: b\/B:1 and 1 more$/);
    }
  });

  test("stats tells of a damaged manifest that has lost its name, and draws what can be drawn", async () => {
    const { store, filesOf } = copyStore();
    flippedManifest[4](filesOf(BAD));
    rmSync(filesOf(BAD).ref);
    const found = await home.run(["stats", "--store", store, "--json", "--html", "part.html"]);
    expect(found.status).toBe(6);
    const { unreadable } = resultOf(found) as { unreadable: Unreadable[] };
    expect(unreadable).toMatchObject([{ manifest: manifests.get(BAD), code: "DIGEST_MISMATCH" }]);
    expect(Object.keys(unreadable[0] ?? {})).not.toContain("name");
    expect(unreadable[0]?.message.startsWith(`${manifests.get(BAD) ?? ""}: manifest: `)).toBe(true);
    const page = readFileSync(path.join(home.path, "part.html"), "utf8");
    expect(page).toContain("images that cannot be read");
    const text = await home.run(["stats", "--store", store]);
    expect(text.stdout).toMatch(/^not read +1 image$/m);
  });

  test("what can all be read has none that cannot", async () => {
    for (const command of ["images", "stats"]) {
      expect(jsonOf(await home.run([command, "--json"]))).toMatchObject({ unreadable: [] });
      expect((await home.run([command])).stderr).toBe("");
    }
  });

  test.each(DAMAGES)("%s: another conversion heals it", async (...damage) => {
    const store = damaged(damage[4]);
    writeApp(home.path, [LOWER, tarBuilder().file("own", BAD.repeat(200_000)).end()]);
    await home.run(["convert", "oci:app", "--name", BAD, "--store", store]);
    const found = jsonOf(await home.run(["images", "--store", store, "--json"]));
    expect(found).toMatchObject({ images: [{}, { name: BAD, manifest: manifests.get(BAD) }, {}] });
  });
});
