import { readdirSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { showSizeRequest, type Progress } from "../../src/convert/convert-image.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import type { Store } from "../../src/store/store.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { openImage } from "../../src/source/open-image.ts";
import type { OciImage } from "../../src/source/oci-image.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { ConvertPlace, KEYRING, SALT } from "./_memory.ts";
import { ReusePlace, sameOf } from "../support/reuse-place.ts";

const SECRET = "what an upper layer hides is not in the disk image";
const base = tarBuilder().dir("d").file("d/a", "1".repeat(600_000)).file("secret", SECRET.repeat(20)).end();
const upper = tarBuilder().file(".wh.secret").file("d/b", "2").end();
const LAYERS = [{ tar: base }, { tar: upper }];

describe("convertImage", () => {
  let place: ConvertPlace;
  beforeEach(() => {
    place = new ConvertPlace();
  });
  afterEach(() => {
    place.remove();
  });

  const chunkFiles = (): string[] =>
    readdirSync(place.storePath, { recursive: true, encoding: "utf8" }).filter((name) =>
      /chunks\/..\/./.test(name),
    );

  test("stores every chunk once, and a second run stores nothing", async () => {
    const first = await place.convert(LAYERS);
    const { chunks } = first.result;
    expect(chunks.zero + chunks.unique).toBeLessThanOrEqual(first.result.diskChunkCount);
    expect(chunks.reused).toBe(0);
    expect(chunks.new).toBe(chunks.unique);
    // The store has the patched chunk also as the layer alone has it.
    expect(chunks.kept).toBe(1);
    expect(chunkFiles()).toHaveLength(chunks.new + 1);
    expect(first.result.storedBytes).toBe((chunks.new + 1) * CHUNK_BYTES);
    const nothingNew = { chunks: { ...chunks, new: 0, reused: chunks.unique, kept: 0 }, storedBytes: 0 };
    const unread = await place.convert(LAYERS);
    expect(unread.result).toEqual({
      ...{ ...first.result, ...nothingNew },
      ...{ layerBytes: 0, reusedLayerCount: 2 },
    });
    const second = await place.convert(LAYERS, { mayReuse: false });
    expect(second.result).toEqual({ ...first.result, ...nothingNew });
    expect(Buffer.compare(second.disk, first.disk)).toBe(0);
  });

  test("the disk image has what is visible, and nothing of what is hidden", async () => {
    const { disk } = await place.convert(LAYERS);
    expect(Buffer.from(disk).includes("1".repeat(4096))).toBe(true);
    expect(Buffer.from(disk).includes(SECRET)).toBe(false);
    expect(Buffer.from((await place.convert(LAYERS.slice(0, 1))).disk).includes(SECRET)).toBe(true);
  });

  test("a layer that stands twice is converted once and gives two segments", async () => {
    const { disk, result } = await place.convert([LAYERS[0]!, LAYERS[1]!, LAYERS[0]!]);
    // The third layer brings back what the second hid.
    expect(Buffer.from(disk).includes(SECRET)).toBe(true);
    expect(result.chunks.unique).toBeGreaterThan(0);
  });

  test("an image without content is a file system too", async () => {
    const { result } = await place.convert([{ tar: tarBuilder().end() }]);
    expect(result.chunks.unique).toBeGreaterThan(0);
    expect(result.clampedTimeCount).toBe(0);
  });

  test("times that ext4 cannot hold are counted", async () => {
    const tar = tarBuilder()
      .pax([["mtime", "99999999999"]])
      .file("a")
      .pax([["mtime", "-9999999999"]])
      .dir("d")
      .file("b")
      .end();
    expect((await place.convert([{ tar }])).result.clampedTimeCount).toBe(2);
  });

  test("tells where it is, in order", async () => {
    const stages: Progress["stage"][] = [];
    await place.convert(LAYERS, {
      onProgress: ({ stage }) => {
        if (stages.at(-1) !== stage) stages.push(stage);
      },
    });
    expect(stages).toEqual(["layer", "flatten", "hide", "metadata", "durable", "manifest"]);
  });

  test.each<Progress["stage"]>(["layer", "flatten", "hide", "metadata", "durable"])(
    "cancelled during %s it gives the image no name",
    async (stage) => {
      const abort = new AbortController();
      const stopped = place.convert(LAYERS, {
        imageName: `stopped-${stage}`,
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.stage === stage) abort.abort();
        },
      });
      // Only the digest, lest a failure prints the whole disk.
      await expect(stopped.then(({ result }) => result.diskDigest)).rejects.toMatchObject({
        code: "CANCELLED",
      });
      const store = await DirectoryStore.open(place.storePath, { create: false });
      await expect(store.getRef(KEYRING.customerId, `stopped-${stage}`)).rejects.toMatchObject({
        code: "IMAGE_NOT_FOUND",
      });
      await store.close();
    },
  );

  test("nothing refers to a chunk before all are durable", async () => {
    const store = await DirectoryStore.open(path.join(place.storePath, "..", "ordered"), { create: true });
    const calls: string[] = [];
    const watched = watch(store, (name) => {
      calls.push(name);
    });
    const converted = place.convert(LAYERS, { store: watched, sealer: new InlineSealer(watched, SALT) });
    // Reading back what was converted looks into the other store, which may not have it.
    await converted.catch(() => undefined);
    await store.close();
    const changes = calls.filter((name) => /^(put|barrier)/.test(name));
    expect(changes.filter((name, i) => name !== changes[i - 1])).toEqual([
      ...["putChunk", "barrier", "putRecord", "putManifest", "putRecord", "putRef"],
    ]);
  });

  test("the lowest layer's entries go into the tree while it is read, and no others", async () => {
    const ahead = vi.spyOn(Flattener.prototype, "putAhead");
    try {
      await place.convert([LAYERS[0]!, LAYERS[1]!, LAYERS[0]!]);
      expect(ahead.mock.calls.map(([{ path: name }]) => name)).toEqual(["d", "d/a", "secret"]);
      ahead.mockClear();
      await place.convert(LAYERS);
      expect(ahead).not.toHaveBeenCalled(); // They are known.
    } finally {
      ahead.mockRestore();
    }
  });

  test("who reads the layers is told when all are read, before the tree is made", async () => {
    const told: string[] = [];
    await place.convert([{ tar: tarBuilder().file("told").end() }], {
      onLayersRead: () => {
        told.push("layers read");
        return Promise.resolve();
      },
      onProgress: ({ stage }) => {
        told.push(stage);
      },
    });
    const order = told.filter((stage, i) => stage !== told[i - 1]);
    expect(order.slice(0, 3)).toEqual(["layer", "layers read", "flatten"]);
    expect(order.filter((stage) => stage === "layers read")).toHaveLength(1);
  });

  test("a conversion whose last record has no room leaves its name as it was", async () => {
    const store = await DirectoryStore.open(path.join(place.storePath, "..", "full"), { create: true });
    let hasManifest = false;
    const full = watch(store, (name) => {
      if (name === "putRecord" && hasManifest) throw new LambdaImgError("STORE_FULL", "the disk is full");
      hasManifest ||= name === "putManifest";
    });
    const change = { store: full, sealer: new InlineSealer(full, SALT), imageName: "full" };
    await expect(place.convert(LAYERS, change)).rejects.toMatchObject({ code: "STORE_FULL" });
    await expect(store.getRef(KEYRING.customerId, "full")).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    await store.close();
  });

  test("what a layer refuses leaves no manifest", async () => {
    const bad = { tar: tarBuilder().file("a").file("a/b").end() };
    await expect(place.convert([bad], { imageName: "bad" })).rejects.toMatchObject({ code: "TREE_INVALID" });
    await expect(
      place.convert(LAYERS, { sizeRequest: { kind: "total", sizeBytes: 1024 } }),
    ).rejects.toMatchObject({
      code: "DISK_TOO_SMALL",
    });
  });
});

test.each([
  [{ kind: "auto" } as const, "auto"],
  [{ kind: "total", sizeBytes: 1024 } as const, "1024"],
  [{ kind: "free", sizeBytes: 1024 } as const, "+1024"],
])("a size request %j is kept as %s", (request, text) => {
  expect(showSizeRequest(request)).toBe(text);
});

/** The store, which tells of each call before it is made. */
function watch<T extends Store>(store: T, onCall: (name: string) => void): T {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: unknown[]): unknown => {
        onCall(String(name));
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}

describe("several layers at a time", () => {
  const layers = ["a", "b", "c"].map((name) => ({ tar: tarBuilder().file(name, name.repeat(5000)).end() }));
  let place: ConvertPlace;
  beforeEach(() => {
    place = new ConvertPlace();
  });
  afterEach(() => {
    place.remove();
  });

  /** The image of a layout, as a source that has all its layers open at once; `wrap` stands before each one's bytes. */
  async function openAtOnce(
    wrap: (
      bytes: AsyncIterable<Uint8Array>,
      use: { index: number; signal: AbortSignal | undefined },
    ) => AsyncIterable<Uint8Array>,
  ): Promise<OciImage> {
    const image = await openImage(parseImageReference(`oci:${place.layout(layers)}`), {
      platform: undefined,
      defaultPlatform: parsePlatform("linux/amd64"),
    });
    return {
      ...{ sourceDigest: image.sourceDigest, config: image.config, layers: image.layers },
      ...{ pulledBytes: image.pulledBytes, layersAtOnce: layers.length, close: () => image.close() },
      async *streamLayers({ signal }) {
        for await (const { descriptor, bytes } of image.streamLayers({})) {
          const pieces: Uint8Array[] = [];
          for await (const piece of bytes) pieces.push(piece);
          const copy = async function* (): AsyncGenerator<Uint8Array> {
            await Promise.resolve();
            yield* pieces;
          };
          yield { descriptor, bytes: wrap(copy(), { index: descriptor.layerIndex, signal }) };
        }
      },
    };
  }

  test("gives the image that one at a time gives", async () => {
    let open = 0;
    let release = (): void => undefined;
    const allOpen = new Promise<void>((resolve) => {
      release = resolve;
    });
    const image = await openAtOnce(async function* (bytes) {
      // No layer goes on before all are open: one at a time would stand still here.
      if (++open === layers.length) release();
      await allOpen;
      yield* bytes;
    });
    const together = await place.convert(layers, { image });
    const alone = await place.convert(layers, { mayReuse: false });
    expect(together.result.diskDigest).toBe(alone.result.diskDigest);
    expect(Buffer.compare(together.disk, alone.disk)).toBe(0);
    await image.close();
  });

  test("end together when one fails, with what that one says", async () => {
    const stopped: number[] = [];
    let waiting = 0;
    let release = (): void => undefined;
    const othersWait = new Promise<void>((resolve) => {
      release = resolve;
    });
    const image = await openAtOnce(async function* (bytes, { index, signal }) {
      if (index === 1) {
        await othersWait;
        for await (const piece of bytes)
          yield Uint8Array.from(piece, (byte, at) => (at === 30 ? byte ^ 1 : byte));
        return;
      }
      await new Promise<void>((resolve) => {
        signal?.addEventListener("abort", () => {
          stopped.push(index);
          resolve();
        });
        if (++waiting === layers.length - 1) release();
      });
      yield* bytes;
    });
    await expect(place.convert(layers, { image })).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
    expect(stopped).toEqual([0, 2]);
    await image.close();
  });
});

describe("a conversion that ends in the middle", () => {
  const TARS = LAYERS.map(({ tar }) => tar);
  let place: ReusePlace;
  beforeEach(() => {
    place = new ReusePlace();
  });
  afterEach(() => {
    place.remove();
  });

  /** The store until a number of calls have changed it; what comes then never arrives, as if the process were gone. */
  function dyingAfter(store: Store, callCount: number): Store {
    let left = callCount;
    return watch(store, (name) => {
      if (/^(put|barrier)/.test(name) && left-- <= 0) throw new Error("gone");
    });
  }

  test("at any call of the store leaves nothing that a second one does not use or mend", async () => {
    const whole = await place.convert(TARS, { at: "whole" });
    const files = (at: string): ReadonlyMap<string, string> => place.files(/roots\/r0\/(?!tmp)/, at);
    let endCount = 0;
    for (; ; endCount++) {
      const at = `ended${endCount}`;
      const wrap = (store: Store): Store => dyingAfter(store, endCount);
      const isWhole = await place.convert(TARS, { at, wrap }).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ message: "gone" });
          return false;
        },
      );
      const second = await place.convert(TARS, { at });
      expect(sameOf(second)).toEqual(sameOf(whole));
      expect(files(at)).toEqual(files("whole"));
      if (isWhole) break;
    }
    // Chunks, barrier, two records, manifest, ref, record.
    expect(endCount).toBe(whole.result.chunks.unique + whole.result.chunks.kept + 6);
  });

  test("beside another of the same image changes nothing for either", async () => {
    const both = await Promise.all([place.convert(TARS), place.convert(TARS)]);
    const alone = await place.convert(TARS, { at: "alone" });
    for (const run of both) expect(sameOf(run)).toEqual(sameOf(alone));
    expect(place.files(/roots\/r0\/(?!tmp)/)).toEqual(place.files(/roots\/r0\/(?!tmp)/, "alone"));
    expect((await place.convert(TARS)).layersRead).toBeUndefined();
  });
});
