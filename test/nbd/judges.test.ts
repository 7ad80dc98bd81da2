/** What other people's NBD clients say of the server: libnbd, QEMU and fio. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { expect, test } from "vitest";

import { describeWith, run, SYSTEM_PYTHON } from "../support/judge.ts";
import { MemoryDevice, patternBytes } from "./_memory-device.ts";
import { makeFolder, serve } from "./serving.ts";

const MIB = 1 << 20;

/** 8 MiB: content with holes between, the last of which ends in the middle of a 512 KiB piece. */
function sparseDevice(options: { readonly isReadOnly?: boolean } = {}): MemoryDevice {
  return new MemoryDevice(8 * MIB, options)
    .fill(0, patternBytes(MIB, 1))
    .fill(2 * MIB, patternBytes(300_000, 2))
    .fill(5 * MIB + 4096, patternBytes(2 * MIB, 3));
}

interface NbdInfo {
  readonly structured: boolean;
  readonly TLS: boolean;
  readonly exports: readonly Readonly<Record<string, unknown>>[];
}

describeWith(["nbdinfo"], "nbdinfo", () => {
  test("finds all that a writable export can do", async () => {
    const { uri } = await serve({ "": sparseDevice() });
    const found = JSON.parse(await run("nbdinfo", ["--json", uri])) as NbdInfo;
    expect(found).toMatchObject({ structured: true, TLS: false });
    expect(found.exports[0]).toMatchObject({
      "export-size": 8 * MIB,
      is_read_only: false,
      can_cache: true,
      can_df: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
      description: "about ",
      contexts: ["base:allocation"],
    });
  });

  test("finds that a read-only export cannot be written", async () => {
    const { uri } = await serve({ "": sparseDevice({ isReadOnly: true }) });
    const found = JSON.parse(await run("nbdinfo", ["--json", uri])) as NbdInfo;
    expect(found.exports[0]).toMatchObject({
      is_read_only: true,
      can_flush: true,
      can_multi_conn: true,
      can_fua: false,
      can_trim: false,
      can_zero: false,
    });
  });

  test("lists all exports with sizes and descriptions", async () => {
    const { uri } = await serve({ one: new MemoryDevice(4096), zwei: new MemoryDevice(8192) });
    const found = JSON.parse(await run("nbdinfo", ["--list", "--json", uri])) as NbdInfo;
    const rows = found.exports.map((row) => [row["export-name"], row["export-size"], row["description"]]);
    expect(rows).toEqual([
      ["one", 4096, "about one"],
      ["zwei", 8192, "about zwei"],
    ]);
  });

  test("maps the holes", async () => {
    const { uri } = await serve({ "": sparseDevice() });
    const map = JSON.parse(await run("nbdinfo", ["--map", "--json", uri])) as Record<string, unknown>[];
    const rows = map.map(({ offset, length, type }) => [offset, length, type]);
    const end = 2 * MIB + Math.ceil(300_000 / 4096) * 4096;
    expect(rows).toEqual([
      [0, MIB, 0],
      [MIB, MIB, 3],
      [2 * MIB, end - 2 * MIB, 0],
      [end, 5 * MIB + 4096 - end, 3],
      [5 * MIB + 4096, 2 * MIB, 0],
      [7 * MIB + 4096, MIB - 4096, 3],
    ]);
  });

  test("is told that an export does not exist", async () => {
    const { uri } = await serve({ here: new MemoryDevice(4096) });
    await expect(run("nbdinfo", [uri.replace("///", "///gone")])).rejects.toThrow(
      /No such file or directory for export: gone/,
    );
  });
});

describeWith(["nbdcopy"], "nbdcopy", () => {
  test.each([
    ["structured, with holes", []],
    ["without looking for extents", ["--no-extents"]],
    ["one request at a time", ["--synchronous"]],
    ["in requests of 32 MiB", ["--request-size=33554432"]],
    ["in small requests of four connections", ["--request-size=4096", "--connections=4"]],
  ])("copies from the server: %s", async (_name, options) => {
    const device = sparseDevice();
    const { uri, folder } = await serve({ "": device });
    const file = path.join(folder, "copy");
    await run("nbdcopy", [...options, uri, file]);
    expect(digestOf(await readFile(file))).toBe(digestOf(device.bytes));
  });

  test.each([
    ["with holes as zeroes", []],
    ["flushed at the end", ["--flush"]],
    ["all allocated", ["--allocated"]],
    ["onto a device of zeros", ["--destination-is-zero"]],
  ])("copies to the server: %s", async (_name, options) => {
    const source = sparseDevice();
    const device = new MemoryDevice(8 * MIB);
    if (!options.includes("--destination-is-zero")) device.fill(0, patternBytes(8 * MIB, 9));
    const { uri, folder } = await serve({ "": device });
    const file = path.join(folder, "source");
    await writeFile(file, source.bytes);
    await run("nbdcopy", [...options, file, uri]);
    expect(digestOf(device.bytes)).toBe(digestOf(source.bytes));
    if (options.includes("--flush")) expect(device.unflushedCount).toBe(0);
  });

  test("fails when a chunk is damaged", async () => {
    const device = sparseDevice();
    device.failAt(MIB / 2, 1, new Error("damaged"));
    const { uri, folder } = await serve({ "": device });
    await expect(run("nbdcopy", [uri, path.join(folder, "copy")])).rejects.toThrow(/Input\/output error/);
  });
});

describeWith(["qemu-img", "qemu-io"], "QEMU", () => {
  test("converts from the server and to it, and finds both equal", async () => {
    const source = sparseDevice();
    const target = new MemoryDevice(8 * MIB);
    const from = await serve({ "": source });
    const to = await serve({ "": target });
    await run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", from.uri, to.uri]);
    expect(digestOf(target.bytes)).toBe(digestOf(source.bytes));
    expect(target.unflushedCount).toBe(0);
    const verdict = await run("qemu-img", ["compare", "-f", "raw", "-F", "raw", from.uri, to.uri]);
    expect(verdict).toContain("Images are identical.");
    const file = path.join(makeFolder(), "copy.qcow2");
    await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", to.uri, file]);
    expect(await run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", from.uri, file])).toContain(
      "identical",
    );
  });

  test("maps holes and content", async () => {
    const { uri } = await serve({ "": sparseDevice() });
    const map = JSON.parse(await run("qemu-img", ["map", "--output=json", "-f", "raw", uri])) as {
      readonly start: number;
      readonly zero: boolean;
    }[];
    expect(map.map(({ start, zero }) => [start, zero])).toEqual([
      [0, false],
      [MIB, true],
      [2 * MIB, false],
      [2 * MIB + Math.ceil(300_000 / 4096) * 4096, true],
      [5 * MIB + 4096, false],
      [7 * MIB + 4096, true],
    ]);
  });

  test("writes, zeroes, discards and reads back patterns", async () => {
    const device = new MemoryDevice(4 * MIB).fill(0, patternBytes(4 * MIB));
    const { uri } = await serve({ "": device });
    const commands = [
      "write -P 0x5a 0 1M",
      "write -f -P 0x6b 1000 24",
      "write -z 2M 64k",
      "write -z -u 3M 64k",
      "discard 1M 512k",
      "flush",
      "read -P 0x5a 0 512",
      "read -P 0x6b 1000 24",
      "read -P 0x5a 1024 4096",
      "read -P 0 2M 64k",
      "read -P 0 3M 64k",
      "read -P 0 1M 512k",
      "read -v 1000 4",
    ];
    const said = await run("qemu-io", ["-f", "raw", ...commands.flatMap((line) => ["-c", line]), uri]);
    expect(said).not.toMatch(/fail|error/i);
    expect(said).toContain("6b 6b 6b 6b");
    expect(device.calls).toMatchObject({ writeZeroes: 2, discard: 1 });
    expect(device.unflushedCount).toBe(0);
    // Zeros without -u keep their room, those with -u and what was discarded give it back.
    const kinds = await Promise.all(
      [2 * MIB, 3 * MIB, MIB].map((offsetBytes) => device.extents({ offsetBytes, sizeBytes: 4096 })),
    );
    expect(kinds.flat().map(({ isZero, isHole }) => [isZero, isHole])).toEqual([
      [true, false],
      [true, true],
      [true, true],
    ]);
  });
});

describeWith(["fio"], "fio", () => {
  test("verifies what it has written at random places, 16 requests at a time", async () => {
    const device = new MemoryDevice(16 * MIB);
    const { uri } = await serve({ "": device });
    const job = [
      ...["--name=verify", "--ioengine=nbd", `--uri=${uri}`, "--rw=randrw", "--iodepth=16"],
      ...[
        "--bsrange=4k-64k",
        "--size=16m",
        "--verify=crc32c",
        "--verify_state_save=0",
        "--verify_backlog=64",
        "--verify_fatal=1",
      ],
      ...["--randseed=7", "--fsync=32", "--rwmixread=40"],
    ];
    const said = await run("fio", job);
    expect(said).toContain("err= 0");
    expect(device.calls.write).toBeGreaterThan(100);
    expect(device.runningCount).toBe(0);
  });
});

const PYTHON = `
import nbd, sys
h = nbd.NBD()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
def error_of(act):
    try:
        act()
        return None
    except nbd.Error as error:
        return error.errno
size = h.get_size()
print(error_of(lambda: h.pread(512, size)))
print(error_of(lambda: h.pwrite(bytes(512), size - 256)))
print(error_of(lambda: h.zero(512, size)))
print(error_of(lambda: h.trim(512, size)))
print(error_of(lambda: h.cache(512, size)))
print(error_of(lambda: h.block_status(512, size, lambda *a: 0)))
print(error_of(lambda: h.pread(512, 0, 0x8000)))
print(error_of(lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO)))
print(error_of(lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)))
print(error_of(lambda: h.pread(4096, 524288 * 2)))
parts = []
def chunk(part, offset, status, error):
    parts.append((offset, len(part), status))
failure = error_of(lambda: h.pread_structured(3 * 524288, 524288, chunk))
print(failure, sorted(parts))
extents = []
h.block_status(2097152, 0, lambda context, offset, entries, error: extents.append(entries), nbd.CMD_FLAG_REQ_ONE)
print(extents)
h.shutdown()
`;

describeWith(["nbdsh"], "libnbd from Python", () => {
  test("gets the errors that the protocol asks for, and the place of a damaged piece", async () => {
    const device = new MemoryDevice(4 * MIB).fill(0, patternBytes(4 * MIB));
    device.failAt(2 * 524288, 4096, new Error("damaged"));
    const { uri } = await serve({ "": device });
    const lines = (await run(SYSTEM_PYTHON, ["-c", PYTHON, uri])).trim().split("\n");
    expect(lines).toEqual([
      ...["EINVAL", "ENOSPC", "ENOSPC", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "None", "ENOTSUP", "EIO"],
      "EIO [(524288, 524288, 1), (1048576, 0, 3), (1572864, 524288, 1)]",
      "[[4096, 3]]",
    ]);
  });
});

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
