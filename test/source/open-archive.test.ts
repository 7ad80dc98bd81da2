import { execFileSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, describe, expect, test } from "vitest";

import { equalBytes } from "../../src/base/bytes.ts";
import {
  compress,
  digestOf,
  hasCommand,
  tarOf,
  temporaryDirectory,
  writeLayout,
  type TarMember,
} from "../support/oci-layout.ts";
import { expectLayers, failure, layers, open, readAll, streamedLayers, tar, tars } from "./_read-image.ts";

const directory = temporaryDirectory();
afterAll(directory.remove);

let count = 0;
const fresh = (): string => join(directory.path, `t${count++}`);

const compressions = ["none", "gzip", ...(hasCommand("zstd") ? (["zstd"] as const) : [])] as const;

async function archive(
  members: readonly TarMember[],
  compression: "none" | "gzip" | "zstd",
): Promise<string> {
  const path = `${fresh()}.tar`;
  writeFileSync(path, compress(await tarOf(members), compression));
  return path;
}

describe.each(compressions)("an oci-archive, compression %s", (compression) => {
  function layoutMembers(path: string, prefix: string): TarMember[] {
    const names = execFileSync("find", [path, "-type", "f", "-printf", "%P\n"]).toString().trim().split("\n");
    return names.map((name) => ({
      name: prefix + name,
      content: new Uint8Array(readFileSync(join(path, name))),
    }));
  }

  test.each(["", "./"])("gives its layers in whatever order, names beginning with %j", async (prefix) => {
    const members = layoutMembers(writeLayout(fresh(), [{ layers, tag: "v1" }]), prefix);
    for (const ordered of [members, members.toReversed()]) {
      const path = await archive([{ name: `${prefix}blobs/` }, ...ordered], compression);
      expectLayers(await readAll(`oci-archive:${path}:v1`), tars);
    }
  });

  test("can be left early, and lets layers be passed over", async () => {
    const members = layoutMembers(writeLayout(fresh(), [{ layers }]), "");
    const image = await open(`oci-archive:${await archive(members, compression)}`);
    let streamCount = 0;
    for await (const stream of image.streamLayers({})) {
      streamCount++;
      if (streamCount === 2) for await (const piece of stream.bytes) if (piece.length > 0) break;
    }
    expect(streamCount).toBe(3);
    for await (const stream of image.streamLayers({})) {
      expect(stream.descriptor.label).toMatch(/^layer/);
      break;
    }
    await image.close();
  });

  test("gives only the layers that are not known, and is not read for none", async () => {
    const path = await archive(
      layoutMembers(writeLayout(fresh(), [{ layers }]), "").toReversed(),
      compression,
    );
    const image = await open(`oci-archive:${path}`);
    const diffIds = image.layers.map(({ diffId }) => diffId);
    expect(await streamedLayers(image, [diffIds[0]!, diffIds[2]!])).toEqual([1]);
    const before = image.pulledBytes();
    expect(await streamedLayers(image, diffIds)).toEqual([]);
    expect(image.pulledBytes()).toBe(before);
    await image.close();
  });

  test("is refused where it is cut", async () => {
    const path = await archive(layoutMembers(writeLayout(fresh(), [{ layers }]), ""), compression);
    truncateSync(path, Math.floor(readFileSync(path).length * 0.6));
    expect(["ARCHIVE_INVALID", "OCI_INVALID", "SOURCE_NOT_FOUND"]).toContain(
      (await failure(`oci-archive:${path}`)).code,
    );
  });

  test("is refused where a layer is missing", async () => {
    const path = writeLayout(fresh(), [{ layers: [...layers, { tar: tar(11), isMissing: true }] }]);
    const error = await failure(`oci-archive:${await archive(layoutMembers(path, ""), compression)}`);
    expect(error.code).toBe("SOURCE_NOT_FOUND");
    expect(error.message).toMatch(/^layer 3 /);
  });
});

describe.each(compressions)("a docker-archive, compression %s", (compression) => {
  const config = (bytes: readonly Uint8Array[]): string =>
    JSON.stringify({
      os: "linux",
      architecture: "amd64",
      config: { Cmd: ["sh"] },
      rootfs: { type: "layers", diff_ids: bytes.map(digestOf) },
    });
  const hex = (text: string): string => digestOf(new TextEncoder().encode(text)).slice(7);
  const [base, middle, top] = [tars[0]!, tars[1]!, tars[2]!];

  function members(): TarMember[] {
    const one = config([base, middle, base, top]);
    const two = config([middle]);
    const manifest = [
      {
        Config: `${hex(one)}.json`,
        RepoTags: ["app:1.0", "app:latest"],
        Layers: ["a/layer.tar", "b/layer.tar", "c/layer.tar", "d/layer.tar"],
      },
      { Config: "plain-name.json", RepoTags: null, Layers: ["b/layer.tar"] },
    ];
    return [
      { name: `${hex(one)}.json`, content: one },
      { name: "d/layer.tar", content: new Uint8Array(gzipSync(top)) },
      { name: "a/layer.tar", content: base },
      { name: "b/layer.tar", content: middle },
      { name: "c/layer.tar", symlink: "../a/layer.tar" },
      { name: "plain-name.json", content: two },
      { name: "manifest.json", content: JSON.stringify(manifest) },
    ];
  }

  test("gives the image asked for, each distinct layer once", async () => {
    const path = await archive(members(), compression);
    for (const name of ["app:1.0", "app", "docker.io/library/app:1.0"]) {
      const found = await readAll(`docker-archive:${path}:${name}`);
      expect(found.map(([index]) => index).toSorted((left, right) => left - right)).toEqual([0, 1, 3]);
      for (const [index, bytes] of found)
        expect(equalBytes(bytes, [base, middle, base, top][index]!)).toBe(true);
    }
    const image = await open(`docker-archive:${path}:app`);
    expect(image.sourceDigest).toBe(`sha256:${hex(config([base, middle, base, top]))}`);
    expect(image.layers.every((layer) => layer.stored === undefined)).toBe(true);
    await image.close();
  });

  test("gives only the layers that are not known, and is not read for none", async () => {
    const image = await open(`docker-archive:${await archive(members(), compression)}:app`);
    const diffIds = image.layers.map(({ diffId }) => diffId);
    expect(await streamedLayers(image, [diffIds[0]!])).toEqual(expect.arrayContaining([1, 3]));
    expect(await streamedLayers(image, [diffIds[1]!, diffIds[3]!])).toEqual([0]);
    const before = image.pulledBytes();
    expect(await streamedLayers(image, diffIds)).toEqual([]);
    expect(image.pulledBytes()).toBe(before);
    await image.close();
  });

  test("must be told which image of several", async () => {
    const path = await archive(members(), compression);
    const error = await failure(`docker-archive:${path}`);
    expect(error.code).toBe("IMAGE_NOT_FOUND");
    expect(error.message).toContain('"app:1.0"');
    expect((await failure(`docker-archive:${path}:app:2`)).code).toBe("IMAGE_NOT_FOUND");
  });

  const single = (change: (list: TarMember[]) => TarMember[]): Promise<string> => {
    const text = config([middle]);
    const manifest = [{ Config: `blobs/sha256/${hex(text)}`, RepoTags: [], Layers: ["x/layer.tar"] }];
    return archive(
      change([
        { name: `blobs/sha256/${hex(text)}`, content: text },
        { name: "x/layer.tar", content: middle },
        { name: "manifest.json", content: JSON.stringify(manifest) },
      ]),
      compression,
    );
  };

  test.each<[string, (list: TarMember[]) => TarMember[], string, RegExp]>([
    ["without manifest.json", (list) => list.slice(0, 2), "OCI_INVALID", /manifest\.json is missing/],
    ["without its config", (list) => list.slice(1), "SOURCE_NOT_FOUND", /image config/],
    [
      "with a config of another digest",
      (list) => [{ ...list[0]!, content: config([top]) }, ...list.slice(1)],
      "DIGEST_MISMATCH",
      /image config/,
    ],
    ["without its layer", (list) => [list[0]!, list[2]!], "SOURCE_NOT_FOUND", /layer 0 /],
    [
      "with another layer",
      (list) => [list[0]!, { ...list[1]!, content: top }, list[2]!],
      "DIFF_ID_MISMATCH",
      /layer 0 /,
    ],
    [
      "with a directory for a layer",
      (list) => [list[0]!, { name: "x/layer.tar" }, list[2]!],
      "ARCHIVE_INVALID",
      /layer 0 .*found dir/,
    ],
    [
      "with a link out of the archive",
      (list) => [list[0]!, { name: "x/layer.tar", symlink: "../../../etc/passwd" }, list[2]!],
      "SOURCE_NOT_FOUND",
      /layer 0 /,
    ],
    [
      "with links in a circle",
      (list) => [list[0]!, { name: "x/layer.tar", symlink: "layer.tar" }, list[2]!],
      "SOURCE_NOT_FOUND",
      /layer 0 /,
    ],
    [
      "with manifest.json that is an object",
      (list) => [list[0]!, list[1]!, { ...list[2]!, content: "{}" }],
      "OCI_INVALID",
      /manifest\.json.*expected an array/,
    ],
    [
      "with an empty manifest.json",
      (list) => [list[0]!, list[1]!, { ...list[2]!, content: "[]" }],
      "IMAGE_NOT_FOUND",
      /empty/,
    ],
  ])("is refused %s", async (_name, change, code, words) => {
    const error = await failure(`docker-archive:${await single(change)}`);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(words);
  });

  test("follows hard links, and the last of two members of one name counts", async () => {
    const path = await single((list) => [
      { ...list[1]!, content: top },
      ...list.filter((member) => member.name !== "x/layer.tar"),
      { name: "y", content: middle },
      { name: "x/layer.tar", hardlink: "y" },
    ]);
    expectLayers(await readAll(`docker-archive:${path}`), [middle]);
  });

  test("of another platform is refused where one is asked for", async () => {
    const path = await single((list) => list);
    expectLayers(await readAll(`docker-archive:${path}`, "linux/amd64"), [middle]);
    expect((await failure(`docker-archive:${path}`, "linux/arm64")).code).toBe("PLATFORM_NOT_FOUND");
  });
});

test("an archive that is none is refused", async () => {
  const path = fresh();
  writeFileSync(path, "this is not an archive".repeat(100));
  expect((await failure(`oci-archive:${path}`)).code).toBe("ARCHIVE_INVALID");
  expect((await failure(`docker-archive:${path}`)).code).toBe("ARCHIVE_INVALID");
  expect((await failure(`docker-archive:${directory.path}`)).code).toBe("ARCHIVE_INVALID");
  writeFileSync(path, "");
  expect((await failure(`docker-archive:${path}`)).code).toBe("OCI_INVALID");
});

test.skipIf(!hasCommand("skopeo")).each(["docker-archive", "oci-archive"])(
  "%s as skopeo writes it gives the same layers",
  async (kind) => {
    const members = await tarOf([{ name: "f", content: "hello" }]);
    const source = writeLayout(fresh(), [
      { layers: [{ tar: members }, { tar: await tarOf([{ name: "g", content: "x" }]) }], tag: "v1" },
    ]);
    const path = `${fresh()}.tar`;
    const tag = kind === "docker-archive" ? "app:v1" : "v1";
    execFileSync(
      "skopeo",
      ["--insecure-policy", "copy", "--quiet", `oci:${source}:v1`, `${kind}:${path}:${tag}`],
      { stdio: "pipe" },
    );
    const found = await readAll(`${kind}:${path}:${tag}`);
    expect(equalBytes(found.find(([index]) => index === 0)![1], members)).toBe(true);
    expect(found).toHaveLength(2);
  },
);
