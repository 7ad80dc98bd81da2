import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openImage } from "../../src/source/open-image.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import {
  collect,
  compress,
  digestOf,
  hasCommand,
  LayoutBuilder,
  temporaryDirectory,
  writeLayout,
  type LayoutImage,
} from "../support/oci-layout.ts";
import {
  amd64,
  expectLayers,
  failure,
  layers,
  open,
  readAll,
  streamedLayers,
  tar,
  tars,
} from "./_read-image.ts";

const directory = temporaryDirectory();
afterAll(directory.remove);

let count = 0;
const fresh = (): string => join(directory.path, `t${count++}`);

describe("an image layout in a directory", () => {
  test("gives documents and layers", async () => {
    const path = writeLayout(fresh(), [{ layers, run: { User: "7" }, tag: "v1" }]);
    const image = await open(`oci:${path}:v1`);
    expect(image.config.run.user).toBe("7");
    expect(image.layers.map(({ layerIndex, diffId }) => [layerIndex, diffId])).toEqual(
      tars.map((bytes, index) => [index, digestOf(bytes)]),
    );
    expect(image.layers[1]).toMatchObject({ stored: { sizeBytes: 3000, digest: digestOf(tars[1]!) } });
    expect(image.layers[1]?.label).toMatch(/^layer 1 \(sha256:[0-9a-f]{12}…\)$/);
    expect(image.sourceDigest).toMatch(/^sha256:/);
    await image.close();
    expectLayers(await readAll(`oci:${path}`), tars);
    expectLayers(await readAll(`oci:${path}@${image.sourceDigest}`), tars);
  });

  test("gives equal layers once", async () => {
    const same = { tar: tar(3) };
    const path = writeLayout(fresh(), [
      { layers: [same, { tar: tar(5) }, { ...same, compression: "none" }] },
    ]);
    expect((await readAll(`oci:${path}`)).map(([index]) => index)).toEqual([0, 1]);
    const image = await open(`oci:${path}`);
    expect(image.layers).toHaveLength(3);
  });

  test("gives only the layers that are not known; files of others need not be there", async () => {
    const path = writeLayout(fresh(), [{ layers: [...layers, { tar: tar(11), isMissing: true }] }]);
    const image = await open(`oci:${path}`);
    const diffIds = image.layers.map(({ diffId }) => diffId);
    expect(await streamedLayers(image, [diffIds[1]!, diffIds[3]!])).toEqual([0, 2]);
    expect(await streamedLayers(image, diffIds)).toEqual([]);
    await image.close();
  });

  test("follows symbolic links to regular files, as stores of packages make them", async () => {
    const path = writeLayout(fresh(), [{ layers }]);
    const linked = fresh();
    mkdirSync(linked);
    for (const name of ["blobs", "index.json", "oci-layout"])
      symlinkSync(join(path, name), join(linked, name));
    expectLayers(await readAll(`oci:${linked}`), tars);
  });

  test("can be left in the middle of a layer, and in the middle of the layers", async () => {
    const path = writeLayout(fresh(), [{ layers }]);
    const image = await open(`oci:${path}`);
    for await (const stream of image.streamLayers({})) {
      for await (const piece of stream.bytes) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      if (stream.descriptor.layerIndex === 1) break;
    }
    await image.close();
  });

  test("stops when it is told to", async () => {
    const path = writeLayout(fresh(), [{ layers }]);
    const image = await open(`oci:${path}`);
    const controller = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const stream of image.streamLayers({ signal: controller.signal })) {
        await collect(stream.bytes);
        controller.abort();
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: "CANCELLED" });
    const options = { platform: undefined, defaultPlatform: amd64, signal: controller.signal };
    await expect(openImage(parseImageReference(`oci:${path}`), options)).rejects.toMatchObject({
      code: "CANCELLED",
    });
  });
});

describe("the image of a layout", () => {
  const named = (tag: string, seed: number): LayoutImage => ({ layers: [{ tar: tar(seed) }], tag });

  test("is the only one, or the one tagged latest, or the one asked for", async () => {
    const path = writeLayout(fresh(), [named("a", 1), named("latest", 2), named("b:c/d", 3)]);
    expectLayers(await readAll(`oci:${path}`), [tar(2)]);
    expectLayers(await readAll(`oci:${path}:a`), [tar(1)]);
    expectLayers(await readAll(`oci:${path}:b:c/d`), [tar(3)]);
    const missing = await failure(`oci:${path}:nope`);
    expect(missing.code).toBe("IMAGE_NOT_FOUND");
    expect(missing.message).toMatch(/"nope"; there are: "a", "latest", "b:c\/d"/);
  });

  test("must be named where several are tagged and none is latest", async () => {
    const path = writeLayout(fresh(), [named("a", 1), named("b", 2)]);
    const error = await failure(`oci:${path}`);
    expect(error.code).toBe("IMAGE_NOT_FOUND");
    expect(error.message).toMatch(/"a", "b"/);
    expect((await failure(`oci:${path}@sha256:${"0".repeat(64)}`)).code).toBe("IMAGE_NOT_FOUND");
  });

  test("is missing from an empty index", async () => {
    expect((await failure(`oci:${writeLayout(fresh(), [])}`)).code).toBe("IMAGE_NOT_FOUND");
  });
});

describe("the platform", () => {
  const forArch = (architecture: string, seed: number, variant?: string): LayoutImage => ({
    layers: [{ tar: tar(seed) }],
    platform: { os: "linux", architecture, ...(variant === undefined ? {} : { variant }) },
  });
  let path = "";
  let nested = "";
  beforeAll(() => {
    const builder = new LayoutBuilder(fresh());
    const images = [
      forArch("arm", 1, "v5"),
      forArch("arm", 2, "v6"),
      forArch("amd64", 3),
      forArch("arm64", 4, "v8"),
    ];
    const attestation = builder.image({
      ...forArch("unknown", 9),
      descriptor: { platform: { os: "unknown", architecture: "unknown" } },
    });
    const index = builder.nestedIndex([attestation, ...images.map((image) => builder.image(image))]);
    builder.index([index]);
    path = builder.directory;
    const outer = new LayoutBuilder(fresh());
    const arm = outer.nestedIndex([outer.image(forArch("arm64", 6))]);
    outer.index([outer.nestedIndex([arm, outer.nestedIndex([outer.image(forArch("amd64", 5))])])]);
    nested = outer.directory;
  });

  test.each([
    [undefined, 3],
    ["linux/amd64", 3],
    ["linux/amd64/v3", 3],
    ["linux/arm64", 4],
    ["linux/arm/v7", 2],
    ["linux/arm/v5", 1],
  ])("%s finds its image in an index", async (platform, seed) => {
    expectLayers(await readAll(`oci:${path}`, platform), [tar(seed)]);
  });

  test("is looked for in nested indexes", async () => {
    expectLayers(await readAll(`oci:${nested}`), [tar(5)]);
    expectLayers(await readAll(`oci:${nested}`, "linux/arm64"), [tar(6)]);
  });

  test("that is not there is refused with those that are", async () => {
    const error = await failure(`oci:${path}`, "linux/s390x");
    expect(error.code).toBe("PLATFORM_NOT_FOUND");
    expect(error.message).toMatch(
      /linux\/s390x; there are: linux\/arm\/v5, linux\/arm\/v6, linux\/amd64, linux\/arm64$/,
    );
  });

  test("of an image without index counts only where it is asked for", async () => {
    const single = writeLayout(fresh(), [forArch("s390x", 8)]);
    expectLayers(await readAll(`oci:${single}`), [tar(8)]);
    expectLayers(await readAll(`oci:${single}`, "linux/s390x"), [tar(8)]);
    const error = await failure(`oci:${single}`, "linux/amd64");
    expect(error).toMatchObject({ code: "PLATFORM_NOT_FOUND" });
    expect(error.message).toContain("there are: linux/s390x");
  });

  test("of an index's only entry may be left to its config", async () => {
    const builder = new LayoutBuilder(fresh());
    const image = builder.image({ ...forArch("riscv64", 8), descriptor: { platform: null } });
    builder.index([builder.nestedIndex([image])]);
    expectLayers(await readAll(`oci:${builder.directory}`), [tar(8)]);
    expect((await failure(`oci:${builder.directory}`, "linux/amd64")).code).toBe("PLATFORM_NOT_FOUND");
  });

  test("chooses among entries of one tag, and among entries without tags", async () => {
    const tagged = writeLayout(
      fresh(),
      [forArch("arm64", 1), forArch("amd64", 2)].map((image) => ({ ...image, tag: "x" })),
    );
    expectLayers(await readAll(`oci:${tagged}:x`), [tar(2)]);
    const bare = writeLayout(fresh(), [forArch("arm64", 1), forArch("amd64", 2)]);
    expectLayers(await readAll(`oci:${bare}`), [tar(2)]);
  });

  test("must be linux", async () => {
    const windows = writeLayout(fresh(), [{ layers, platform: { os: "windows", architecture: "amd64" } }]);
    expect((await failure(`oci:${windows}`)).code).toBe("PLATFORM_UNSUPPORTED");
  });
});

describe("a layout is refused", () => {
  test.each<[string, (builder: LayoutBuilder) => void, string, RegExp]>([
    [
      "without oci-layout",
      (builder) => {
        rmSync(join(builder.directory, "oci-layout"));
      },
      "OCI_INVALID",
      /oci-layout is missing/,
    ],
    [
      "of another version",
      (builder) => {
        builder.write("oci-layout", '{"imageLayoutVersion":"2.0.0"}');
      },
      "MEDIA_TYPE_UNSUPPORTED",
      /2\.0\.0/,
    ],
    [
      "without index.json",
      (builder) => {
        rmSync(join(builder.directory, "index.json"));
      },
      "SOURCE_NOT_FOUND",
      /index\.json/,
    ],
    [
      "with an index that is no JSON",
      (builder) => {
        builder.write("index.json", "{");
      },
      "OCI_INVALID",
      /index\.json: not a JSON/,
    ],
    [
      "with a manifest as its index",
      (builder) => {
        builder.write("index.json", '{"schemaVersion":2,"layers":[]}');
      },
      "OCI_INVALID",
      /ambiguous/,
    ],
    [
      "with an index of 9 MiB",
      (builder) => {
        builder.write("index.json", " ".repeat(9 << 20));
      },
      "DOCUMENT_TOO_LARGE",
      /index\.json/,
    ],
    [
      "with a missing layer",
      (builder) => {
        builder.index([builder.image({ layers: [{ tar: tar(1), isMissing: true }] })]);
      },
      "SOURCE_NOT_FOUND",
      /layer 0 \(sha256:/,
    ],
    [
      "with a foreign layer that is missing",
      (builder) => {
        builder.index([
          builder.image({
            layers: [
              {
                tar: tar(1),
                isMissing: true,
                mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
              },
            ],
          }),
        ]);
      },
      "SOURCE_NOT_FOUND",
      /layer 0.*foreign\.diff/,
    ],
    [
      "with a wrong layer",
      (builder) => {
        builder.index([builder.image({ layers: [{ tar: tar(1), stored: compress(tar(2), "gzip") }] })]);
      },
      "SIZE_MISMATCH",
      /layer 0/,
    ],
    [
      "with a wrong layer of equal size",
      (builder) => {
        builder.index([builder.image({ layers: [{ tar: tar(1), stored: tar(2), compression: "none" }] })]);
      },
      "DIGEST_MISMATCH",
      /layer 0/,
    ],
    [
      "with a wrong diff ID",
      (builder) => {
        builder.index([builder.image({ layers: [{ tar: tar(1), diffId: digestOf(tar(2)) }] })]);
      },
      "DIFF_ID_MISMATCH",
      /layer 0/,
    ],
    [
      "with a manifest of another size",
      (builder) => {
        builder.index([{ ...builder.image({ layers }), size: 5 }]);
      },
      "SIZE_MISMATCH",
      /image manifest sha256/,
    ],
    [
      "with a manifest that claims 9 MiB",
      (builder) => {
        builder.index([{ ...builder.image({ layers }), size: 9 << 20 }]);
      },
      "DOCUMENT_TOO_LARGE",
      /image manifest sha256/,
    ],
    [
      "with fewer diff IDs than layers",
      (builder) => {
        builder.index([builder.image({ layers, config: { rootfs: { type: "layers", diff_ids: [] } } })]);
      },
      "OCI_INVALID",
      /3 layers.* 0 diff_ids/,
    ],
    [
      "with a changed config",
      (builder) => {
        const config = builder.json({ x: 1 }, "application/vnd.oci.image.config.v1+json");
        builder.write(`blobs/sha256/${config.digest.slice(7)}`, '{"x":2}');
        builder.index([builder.image({ layers, manifest: { config } })]);
      },
      "DIGEST_MISMATCH",
      /image config sha256/,
    ],
    [
      "with indexes nested too deep",
      (builder) => {
        let inner = builder.nestedIndex([builder.image({ layers })]);
        for (let depth = 0; depth < 9; depth++) inner = builder.nestedIndex([inner]);
        builder.index([inner]);
      },
      "OCI_INVALID",
      /nested too deep: the limit is 8/,
    ],
    [
      "with too many descriptors",
      (builder) => {
        const image = builder.image({ layers, platform: { os: "linux", architecture: "s390x" } });
        builder.index([builder.nestedIndex(Array.from({ length: 10_001 }, () => image))]);
      },
      "DOCUMENT_TOO_LARGE",
      /too many descriptors/,
    ],
  ])("%s", async (_name, damage, code, words) => {
    const builder = new LayoutBuilder(fresh());
    builder.index([builder.image({ layers })]);
    damage(builder);
    const error = await failure(`oci:${builder.directory}`);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(words);
  });

  test("where it is not there", async () => {
    expect((await failure(`oci:${fresh()}`)).code).toBe("SOURCE_NOT_FOUND");
  });

  test.skipIf(!hasCommand("mkfifo"))(
    "with a FIFO in place of a layer, without waiting for a writer",
    async () => {
      const path = writeLayout(fresh(), [{ layers: [{ tar: tar(1), compression: "none" }] }]);
      const file = join(path, "blobs", "sha256", digestOf(tar(1)).slice(7));
      rmSync(file);
      execFileSync("mkfifo", [file]);
      expect(await failure(`oci:${path}`)).toMatchObject({ code: "ARCHIVE_INVALID" });
    },
  );
});
