// ⚡ uses: process
/** Damaged tars: the parser reads or refuses them, by name, in linear time. FUZZ_RUNS and FUZZ_SEED change the default. */
import { expect, it } from "vitest";
import { asByteString } from "../../src/base/bytes.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { TAR_END, encodeTarEntry } from "../../src/tar/writer.ts";
import { randomBelow } from "../support/random.ts";
import { Collector, GNU_MAGIC, concat, member, pax, rawHeader } from "../tar/build.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 3000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 20_231);

const SEEDS: readonly Uint8Array[] = [
  pax([
    ["path", "a/b"],
    ["mtime", "-1.5"],
    ["uid", "70000"],
    ["SCHILY.xattr.user.a", "\0\xff"],
    ["LIBARCHIVE.xattr.b", "YQ"],
  ]),
  pax(
    [
      ["gid", "9"],
      ["mtime", "5"],
    ],
    "g",
  ),
  member({}, "x".repeat(700)),
  member({ type: "L", magic: GNU_MAGIC }, "l".repeat(600) + "\0"),
  member({ type: "K", magic: GNU_MAGIC }, "k".repeat(200) + "\0"),
  rawHeader({ type: "2", link: "t" }),
  rawHeader({ type: "\0", name: "d/", magic: "" }),
  rawHeader({ type: "3", devmajor: 1 }),
  concat(
    pax([
      ["GNU.sparse.size", "9000"],
      ["GNU.sparse.map", "10,3,4096,2"],
    ]),
    member({}, "abcde"),
  ),
  concat(
    pax([
      ["GNU.sparse.size", "9000"],
      ["GNU.sparse.numblocks", "1"],
      ["GNU.sparse.offset", "1"],
      ["GNU.sparse.numbytes", "5"],
    ]),
    member({}, "abcde"),
  ),
  concat(
    pax([
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", "s"],
      ["GNU.sparse.realsize", "9000"],
    ]),
    member({}, "2\n10\n3\n5000\n2\n".padEnd(512, "\0") + "abcde"),
  ),
  concat(
    rawHeader({
      name: "s",
      type: "S",
      magic: GNU_MAGIC,
      size: 0,
      patches: [
        [386, "0".repeat(24)],
        [482, "\x01"],
        [483, "00000010000"],
      ],
    }),
    new Uint8Array(512),
  ),
  encodeTarEntry({
    path: asByteString("holes"),
    type: "file",
    mode: 0o644,
    uid: 2 ** 31,
    gid: 0,
    mtime: { seconds: -1, nanoseconds: 1 },
    sizeBytes: 99,
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
    sparseRegions: [],
  }),
  new Uint8Array(512),
];

const TYPEFLAGS = "01234567\0xgXLKSVDMNZ";
const TEXTS = [
  "9",
  "\0",
  "-",
  "=",
  "\n",
  "99999999999999999999",
  "\xff\xff\xff\xff",
  "\x80",
  "ustar  \0",
  "ustar\x0000",
  "size=",
  "path=",
];

/** One mutation: of a byte, a text, the type, or the order of blocks. */
function mutate(tar: Uint8Array, random: (below: number) => number): Uint8Array {
  const at = random(tar.length);
  const blockAt = at - (at % 512);
  const mutated = tar.slice();
  switch (random(8)) {
    case 0:
      mutated[at] = random(256);
      return mutated;
    case 1: {
      const text = TEXTS[random(TEXTS.length)] ?? "";
      for (let i = 0; i < text.length && at + i < tar.length; i++) mutated[at + i] = text.charCodeAt(i);
      return mutated;
    }
    case 2:
      mutated[blockAt + 156] = TYPEFLAGS.charCodeAt(random(TYPEFLAGS.length));
      return mutated;
    case 3: {
      // A number field of the header: base-256, or digits.
      const field = [100, 108, 116, 124, 136, 329, 337, 386, 398, 483][random(10)] ?? 0;
      mutated[blockAt + field] = [0x80, 0xff, 0x37, 0x20, 0][random(5)] ?? 0;
      mutated[blockAt + field + 7] = random(256);
      return mutated;
    }
    case 4:
      return tar.slice(0, Math.max(1, at));
    case 5:
      return concat(
        tar.subarray(0, blockAt),
        tar.subarray(Math.min(tar.length, blockAt + 512)),
        new Uint8Array(1),
      );
    case 6:
      return concat(tar.subarray(0, blockAt), SEEDS[random(SEEDS.length)] ?? TAR_END, tar.subarray(blockAt));
    default:
      mutated[at] = (mutated[at] ?? 0) ^ (1 << random(8));
      return mutated;
  }
}

/** Makes most headers' checksums right again, or nothing behind them would be tested. */
function repairSums(tar: Uint8Array, random: (below: number) => number): Uint8Array {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const block = tar.subarray(at, at + 512);
    const isHeader = block[154] === 0 && block[155] === 0x20;
    if (!isHeader || random(100) === 0) continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    const field = `${sum.toString(8).padStart(6, "0")}\0 `;
    for (let i = 0; i < 8; i++) block[148 + i] = field.charCodeAt(i);
  }
  return tar;
}

function makeTar(random: (below: number) => number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = random(6) + 1; i > 0; i--) parts.push(SEEDS[random(SEEDS.length)] ?? TAR_END);
  let tar = concat(...parts, TAR_END);
  for (let i = random(4) + 1; i > 0; i--) tar = mutate(tar, random);
  return repairSums(tar, random);
}

/** What the parse came to: the count of entries, or the error. Other exceptions pass. */
function outcome(
  tar: Uint8Array,
  pieceBytes: number,
): { readonly text: string; readonly error?: LambdaImgError } {
  const collector = new Collector();
  const parser = new TarParser(collector, { label: "l", extensionBytesMax: 1 << 20 });
  const shown = (): string => JSON.stringify(collector.entries.map(({ entry, body }) => [entry, [...body]]));
  try {
    for (let at = 0; at < tar.length; at += pieceBytes) parser.push(tar.subarray(at, at + pieceBytes));
    parser.finish();
  } catch (error) {
    if (!(error instanceof LambdaImgError)) throw error;
    return { text: `${shown()} ${error.message}`, error };
  }
  expect(collector.isOpen).toBe(false);
  return { text: shown() };
}

it(`reads or refuses ${RUNS} damaged tars (seed ${SEED}), the same whatever the slicing`, () => {
  const codes = new Map<string, number>();
  for (let run = 0; run < RUNS; run++) {
    const random = randomBelow(SEED + run);
    const tar = makeTar(random);
    const where = `FUZZ_SEED=${SEED + run} FUZZ_RUNS=1`;
    const whole = outcome(tar, tar.length);
    expect(outcome(tar, 1 + random(700)), where).toEqual(whole);
    if (whole.error) expect(["invalid", "limit", "unsupported"], where).toContain(whole.error.kind);
    const code = whole.error?.code ?? "read";
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  // A fuzzer that only ever sees one outcome tests nothing.
  if (RUNS >= 1000)
    expect([...codes.keys()]).toEqual(
      expect.arrayContaining(["read", "TAR_INVALID", "FILE_TYPE_UNSUPPORTED"]),
    );
});

/** Steps that hostile input could make expensive; each is linear, so twice the input takes about twice the time. */
it.each<[string, (count: number) => Uint8Array]>([
  ["many records", (count) => pax(Array.from({ length: count }, (_, i) => [`SCHILY.xattr.${i}`, ""]))],
  [
    "many long names without an entry",
    (count) => concat(...Array.from({ length: count / 16 }, () => member({ type: "L" }, "n"))),
  ],
  [
    "global values read again for each entry",
    (count) =>
      concat(
        pax(
          [
            ["path", "p".repeat(100_000)],
            ["mtime", "0".repeat(250)],
            ...Array.from({ length: 900 }, (_, i): [string, string] => [`SCHILY.xattr.${i}`, ""]),
          ],
          "g",
        ),
        ...Array.from({ length: count / 16 }, () => rawHeader({})),
      ),
  ],
  [
    "a sparse list",
    (count) =>
      concat(
        pax([
          ["GNU.sparse.size", "9"],
          ["GNU.sparse.map", "0,0,".repeat(count).slice(0, -1)],
        ]),
        rawHeader({}),
      ),
  ],
  ["one long length", (count) => member({ type: "x" }, "9".repeat(count))],
])("takes linear time for %s", (_, build) => {
  const timeOf = (tar: Uint8Array): number => {
    const samples = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage();
      outcomeOnly(tar);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    });
    return Math.min(...samples);
  };
  const small = build(8_000);
  const large = build(64_000);
  timeOf(small);
  // Eight times the input; quadratic time would be sixty-four times. The constant takes the noise of a busy machine.
  expect(timeOf(large)).toBeLessThan(24 * timeOf(small) + 30_000);
});

function outcomeOnly(tar: Uint8Array): void {
  const sink = { entry: () => undefined, body: () => undefined, entryEnd: () => undefined };
  const parser = new TarParser(sink, { label: "l" });
  try {
    for (let at = 0; at < tar.length; at += 700) parser.push(tar.subarray(at, at + 700));
    parser.finish();
  } catch (error) {
    if (!(error instanceof LambdaImgError)) throw error;
  }
}
