import { describe, expect, test } from "vitest";

import { ContentDigestBuilder } from "../../src/verify/content-digest.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { recordsOf } from "./_support.ts";

describe("a file's content", () => {
  const parts = [
    { offset: 512, bytes: "b".repeat(512) },
    { offset: 9000, bytes: "c".repeat(4608) },
    { offset: 2 ** 40, bytes: "d" },
  ];

  test("is the same in each form of a sparse file", () => {
    const digest = new ContentDigestBuilder();
    for (const { offset, bytes } of parts) digest.add(offset, new TextEncoder().encode(bytes));
    const expected = digest.finish(2 ** 41);
    for (const form of ["gnu", "pax-0.0", "pax-0.1", "pax-1.0"] as const) {
      const [record] = recordsOf(tarBuilder().sparse(form, { path: "s", realSize: 2 ** 41, parts }));
      expect(record?.content).toBe(expected);
      expect(record?.entry.sizeBytes).toBe(2 ** 41);
    }
  });

  test("is the same whether zeros are stored or not", () => {
    const bytes = `${"\0".repeat(8192)}x`;
    const [stored] = recordsOf(tarBuilder().file("a", bytes));
    const sparse = { path: "a", realSize: 8193, parts: [{ offset: 8192, bytes: "x" }] };
    expect(recordsOf(tarBuilder().sparse("pax-1.0", sparse))[0]?.content).toBe(stored?.content);
  });

  test("of what is no file is empty", () => {
    expect(recordsOf(tarBuilder().dir("d").symlink("l", "d")).map(({ content }) => content)).toEqual([
      "",
      "",
    ]);
  });
});
