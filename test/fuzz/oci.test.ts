// ⚡ uses: process
import { gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { decompress } from "../../src/oci/decompress.ts";
import { parseDockerManifest } from "../../src/oci/docker-archive.ts";
import { parseImageConfig } from "../../src/oci/image-config.ts";
import { parseImageDocument } from "../../src/oci/image-document.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { parseImageReference } from "../../src/source/reference.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "3000");
const seed = Number(process.env["FUZZ_SEED"] ?? "20231");

/** xorshift32: the same numbers for the same seed, everywhere. */
class Chance {
  #state: number;

  constructor(start: number) {
    this.#state = start >>> 0 || 1;
  }

  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

const digest = `sha256:${"ab".repeat(32)}`;
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 3 };
const documents = [
  {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: [layer, layer],
  },
  {
    schemaVersion: 2,
    manifests: [
      { ...config, platform: { os: "linux", architecture: "arm", variant: "v7" }, annotations: { a: "b" } },
    ],
  },
  {
    os: "linux",
    architecture: "amd64",
    config: { Env: ["A=1"], Labels: { a: "b" }, Volumes: { "/v": {} }, User: "0" },
    rootfs: { type: "layers", diff_ids: [digest] },
  },
  [{ Config: "c.json", RepoTags: ["a:b"], Layers: ["l/layer.tar"] }],
].map((document) => JSON.stringify(document));

const fragments = [
  "null",
  "{}",
  "[]",
  '""',
  "-1",
  "1e99",
  "1e400",
  "true",
  '"__proto__":{}',
  '{"a":1,"a":2}',
  "\ud800",
  "\u0000",
  '"\\ud800"',
  "[[[[",
  ",",
  ":",
  '"',
  "\\",
  "sha512:",
  "../",
  "9007199254740993",
];

function mutate(text: string, chance: Chance): Uint8Array {
  let mutated = text;
  for (let times = 1 + chance.below(3); times > 0; times--) {
    const at = chance.below(mutated.length + 1);
    const end = Math.min(mutated.length, at + chance.below(12));
    mutated =
      mutated.slice(0, at) + (chance.below(3) === 0 ? "" : chance.pick(fragments)) + mutated.slice(end);
  }
  const bytes = new TextEncoder().encode(mutated);
  if (chance.below(4) === 0 && bytes.length > 0) bytes[chance.below(bytes.length)] = chance.below(256);
  return bytes;
}

/** Replaces one value of the document by another, so that the JSON stays valid. */
function replaceValue(text: string, chance: Chance): Uint8Array {
  const values = [null, {}, [], "", "x", -1, 0, 2 ** 53, 1.5, true, [null], { a: null }, ["a", {}], digest];
  let countdown = chance.below(25);
  const replaced: unknown = JSON.parse(text, (_name, value: unknown) =>
    countdown-- === 0 ? chance.pick(values) : value,
  );
  return new TextEncoder().encode(JSON.stringify(replaced));
}

const parsers: readonly ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => parseImageDocument(bytes, { where: "X" }),
  (bytes) => parseImageDocument(bytes, { where: "X", mediaType: "application/vnd.oci.image.index.v1+json" }),
  (bytes) => parseImageConfig(bytes, "X"),
  (bytes) => parseDockerManifest(bytes, "X"),
];

test(`documents that are damaged parse or are refused by name (seed ${seed})`, () => {
  const chance = new Chance(seed);
  const kinds = new Set<string>();
  for (let run = 0; run < runs; run++) {
    const text = chance.pick(documents);
    const bytes = chance.below(2) === 0 ? mutate(text, chance) : replaceValue(text, chance);
    for (const parse of parsers) {
      try {
        parse(bytes);
        kinds.add("parsed");
      } catch (error) {
        if (!isLambdaImgError(error))
          throw new Error(`run ${run}: ${new TextDecoder().decode(bytes)}`, { cause: error });
        kinds.add(error.kind);
        expect(["invalid", "unsupported", "limit"]).toContain(error.kind);
      }
    }
  }
  expect(kinds).toContain("parsed");
  expect(kinds).toContain("invalid");
});

test(`references and platforms of random text parse or are refused by name (seed ${seed})`, () => {
  const chance = new Chance(seed + 1);
  const parts = [
    "oci",
    "oci-archive",
    "docker-archive",
    ":",
    "@",
    "/",
    "a",
    ".tar",
    digest,
    "sha256:",
    "\u0000",
    " ",
    "linux",
    "arm",
    "v7",
  ];
  for (let run = 0; run < runs; run++) {
    const text = Array.from({ length: chance.below(7) }, () => chance.pick(parts)).join("");
    for (const parse of [parseImageReference, parsePlatform]) {
      try {
        parse(text);
      } catch (error) {
        if (!isLambdaImgError(error)) throw new Error(JSON.stringify(text), { cause: error });
      }
    }
  }
});

test(`gzip that is damaged comes to an end (seed ${seed})`, async () => {
  const chance = new Chance(seed + 2);
  const member = new Uint8Array(gzipSync(new Uint8Array(5000).map((_, index) => index ^ (index >> 3))));
  for (let run = 0; run < Math.ceil(runs / 20); run++) {
    const stored = new Uint8Array([
      ...member,
      ...(chance.below(2) === 0 ? member : []),
      ...new Uint8Array(chance.below(3)),
    ]);
    for (let times = chance.below(3); times > 0; times--)
      stored[chance.below(stored.length)] = chance.below(256);
    const cut = stored.subarray(0, stored.length - (chance.below(2) === 0 ? chance.below(stored.length) : 0));
    const pieceBytes = 1 + chance.below(3000);
    await expectEnd(cut, pieceBytes);
  }
});

test(`zstd that is damaged comes to an end (seed ${seed})`, async () => {
  const chance = new Chance(seed + 3);
  for (let run = 0; run < Math.ceil(runs / 20); run++) {
    // Frames of raw and run-length blocks (RFC 8878 3.1.1.2), which need no compressor.
    const sizeBytes = 1 + chance.below(200);
    const raw = [
      (sizeBytes << 3) & 0xff,
      (sizeBytes << 3) >> 8,
      0,
      ...Array.from({ length: sizeBytes }, () => chance.below(256)),
    ];
    const frame = [
      0x28,
      0xb5,
      0x2f,
      0xfd,
      0x00,
      0x58,
      ...raw,
      0x03 | ((sizeBytes << 3) & 0xff),
      (sizeBytes << 3) >> 8,
      0,
      7,
    ];
    const stored = Uint8Array.from([...frame, ...frame]);
    for (let times = chance.below(3); times > 0; times--)
      stored[4 + chance.below(stored.length - 4)] = chance.below(256);
    await expectEnd(stored, 1 + chance.below(300));
  }
});

async function expectEnd(stored: Uint8Array, pieceBytes: number): Promise<void> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < stored.length; at += pieceBytes) {
      await Promise.resolve();
      yield stored.slice(at, at + pieceBytes);
    }
  }
  try {
    for await (const piece of decompress(pieces(), "layer 0")) expect(piece.length).toBeGreaterThan(0);
  } catch (error) {
    if (!isLambdaImgError(error, "LAYER_INVALID", "COMPRESSION_UNSUPPORTED")) throw error;
  }
}
