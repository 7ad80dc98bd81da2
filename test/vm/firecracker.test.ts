/** docs/firecracker.json has the fields that Firecracker's API has, of their types. It is not run. */
import { readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

interface Definition {
  readonly required: readonly string[];
  readonly properties: Readonly<Record<string, "string" | "boolean" | "integer" | readonly string[]>>;
}

/**
 * Of Firecracker's src/firecracker/swagger/firecracker.yaml, 1.17.0-dev, commit 81b38b9dad60: what the file may use. A list
 * is the field's `enum`. `path_on_host` and `is_read_only` are required by their descriptions, for drives without `socket`.
 */
const DEFINITIONS: Readonly<Record<"BootSource" | "Drive" | "MachineConfiguration", Definition>> = {
  BootSource: {
    required: ["kernel_image_path"],
    properties: { boot_args: "string", initrd_path: "string", kernel_image_path: "string" },
  },
  Drive: {
    required: ["drive_id", "is_root_device", "path_on_host", "is_read_only"],
    properties: {
      drive_id: "string",
      partuuid: "string",
      is_root_device: "boolean",
      cache_type: ["Unsafe", "Writeback"],
      is_read_only: "boolean",
      path_on_host: "string",
      io_engine: ["Sync", "Async"],
    },
  },
  MachineConfiguration: {
    required: ["mem_size_mib", "vcpu_count"],
    properties: {
      smt: "boolean",
      mem_size_mib: "integer",
      track_dirty_pages: "boolean",
      vcpu_count: "integer",
    },
  },
};

type Fields = Readonly<Record<string, unknown>>;

describe("docs/firecracker.json", () => {
  const file = path.resolve(import.meta.dirname, "../../docs/firecracker.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Readonly<
    Record<string, Fields | readonly Fields[]>
  >;

  test("has the parts of Firecracker's file, each with the fields of its definition", () => {
    expect(Object.keys(config)).toEqual(["boot-source", "drives", "machine-config"]);
    const drives = config["drives"] as readonly Fields[];
    expect(problemsOf(config["boot-source"] as Fields, DEFINITIONS.BootSource)).toEqual([]);
    expect(drives.flatMap((drive) => problemsOf(drive, DEFINITIONS.Drive))).toEqual([]);
    expect(problemsOf(config["machine-config"] as Fields, DEFINITIONS.MachineConfiguration)).toEqual([]);
  });

  test("has one root device, which takes flushes", () => {
    expect(config["drives"]).toEqual([
      expect.objectContaining({ is_root_device: true, cache_type: "Writeback" }),
    ]);
  });

  test.each<[string, Fields]>([
    ["vcpu_count: missing", { mem_size_mib: 1 }],
    ["mem_size_mib: expected integer", { mem_size_mib: "1", vcpu_count: 1 }],
    ["ht_enabled: unknown", { mem_size_mib: 1, vcpu_count: 1, ht_enabled: true }],
  ])("would not do with: %s", (problem, fields) => {
    expect(problemsOf(fields, DEFINITIONS.MachineConfiguration)).toEqual([problem]);
  });
});

function problemsOf(fields: Fields, { required, properties }: Definition): string[] {
  const missing = required.filter((name) => !(name in fields)).map((name) => `${name}: missing`);
  const wrong = Object.entries(fields).flatMap(([name, value]) => {
    const type = properties[name];
    if (type === undefined) return [`${name}: unknown`];
    if (typeof type !== "string")
      return type.includes(String(value)) ? [] : [`${name}: expected ${type.join("|")}`];
    const isRight = type === "integer" ? Number.isInteger(value) : typeof value === type;
    return isRight ? [] : [`${name}: expected ${type}`];
  });
  return [...missing, ...wrong];
}
