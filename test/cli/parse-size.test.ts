import { describe, expect, test } from "vitest";

import { parseSize, parseSizeRequest } from "../../src/cli/parse-size.ts";

describe("parseSize", () => {
  test.each([
    ["1", 1],
    ["1048576", 1_048_576],
    ["512M", 512 * 2 ** 20],
    ["512MiB", 512 * 2 ** 20],
    ["512mb", 512 * 2 ** 20],
    ["10g", 10 * 2 ** 30],
    ["2T", 2 * 2 ** 40],
    ["7K", 7168],
    ["7B", 7],
    ["0010K", 10_240],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("%s", (text, sizeBytes) => {
    expect(parseSize(text, "--size")).toBe(sizeBytes);
  });

  test.each([
    "",
    "0",
    "0G",
    "-1",
    "+1",
    "1.5G",
    "1e6",
    "G",
    "10P",
    "1 G",
    " 1",
    "1\n",
    "0x10",
    "9007199254740992",
    "99999999T",
    "1GG",
    "٣",
  ])("refuses %j, naming the option", (text) => {
    expect(() => parseSize(text, "--max-layer-size")).toThrow(
      expect.objectContaining({
        code: "SIZE_INVALID",
        message: expect.stringMatching(/^--max-layer-size: /) as string,
      }),
    );
  });
});

describe("parseSizeRequest", () => {
  test.each([
    ["auto", { kind: "auto" }],
    ["10G", { kind: "total", sizeBytes: 10 * 2 ** 30 }],
    ["+2G", { kind: "free", sizeBytes: 2 * 2 ** 30 }],
  ])("%s", (text, request) => {
    expect(parseSizeRequest(text)).toEqual(request);
  });

  test.each(["", "+", "++1G", "+0", "AUTO", "-1G", "auto "])("refuses %j", (text) => {
    expect(() => parseSizeRequest(text)).toThrow(
      expect.objectContaining({ code: "SIZE_INVALID", kind: "usage" }),
    );
  });
});
