import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Output, toBase64 } from "../../src/cli/output.ts";
import { AssertionError, EXIT_STATUS, LambdaImgError } from "../../src/base/error.ts";

const brokenInvariant: unknown = new AssertionError("an invariant");

describe("Output", () => {
  let out = "";
  let err = "";
  beforeEach(() => {
    out = err = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      out += String(text);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      err += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test("gives the result as text or as one line of JSON", () => {
    new Output({}).result({ a: 1 }, () => "text\n");
    new Output({ json: true }).result({ a: "b\n" }, () => "text\n");
    expect([out, err]).toEqual(['text\n{"a":"b\\n"}\n', ""]);
  });

  test("tells people what it does on stderr, less with --quiet; warnings stay", () => {
    new Output({}).note("made a store");
    new Output({ quiet: true }).note("made a store");
    new Output({ quiet: true }).warn("look");
    expect([out, err]).toEqual(["", "lambda-img: made a store\nlambda-img: warning: look\n"]);
  });

  test("shows no status where nobody looks at a terminal", () => {
    new Output({}).status(() => "working");
    expect(err).toBe("");
  });

  test("says what failed, and gives the status of its kind", () => {
    const error = new LambdaImgError("CHUNK_CORRUPT", "chunk 3: digest mismatch", {
      details: { chunkIndex: 3 },
    });
    expect(new Output({}).fail(error)).toBe(EXIT_STATUS.corrupt);
    expect(err).toBe("lambda-img: error: chunk 3: digest mismatch\n");
    err = "";
    new Output({ json: true }).fail(error);
    expect(JSON.parse(err.split("\n")[1] ?? "")).toEqual({
      ...{ type: "error", code: "CHUNK_CORRUPT", kind: "corrupt" },
      ...{ message: "chunk 3: digest mismatch", details: { chunkIndex: 3 } },
    });
  });

  test("is quiet where the user cancelled", () => {
    expect(new Output({}).fail(new LambdaImgError("CANCELLED", "cancelled"))).toBe(130);
    expect(err).toBe("");
  });

  test.each([brokenInvariant, new TypeError("x is not a function"), "a string"])(
    "calls everything else a bug: %s",
    (error) => {
      expect(new Output({ json: true }).fail(error)).toBe(70);
      expect(err).toMatch(/^lambda-img: bug: /);
      expect(JSON.parse(err.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({
        type: "error",
        code: "BUG",
        kind: "bug",
      });
    },
  );
});

test("base64 is of the view, not of the memory below it", () => {
  expect(toBase64(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe("AgM=");
});
