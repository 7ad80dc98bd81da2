import fc from "fast-check";
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { IMAGE_RECORD_BYTES_MAX } from "../../src/base/limit.ts";
import { encodeImageRecord, parseImageRecord, type ImageRecord } from "../../src/manifest/image-record.ts";
import { utf8 } from "../support/noble.ts";
import { sampleRecord } from "../support/manifest-sample.ts";

const text = new TextDecoder().decode(encodeImageRecord(sampleRecord));

function codeOf(work: () => unknown): string {
  try {
    work();
    return "no failure";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

test("a record is written with its keys in byte order and without white space", () => {
  expect(text).toMatch(
    /^\{"diskDigest":.*,"layerDiffIds":.*,"layoutVersion":1,"options":\{"mtime":"keep","sizeRequest":"auto"\},"platform":\{"architecture":"arm64","os":"linux","variant":"v8"\},"run":\{"cmd":\["echo \\"hi\\"\\n"\],"entrypoint":.*,"env":.*,"exposedPorts":.*,"labels":.*,"stopSignal":.*,"user":.*,"volumes":.*,"workingDir":"\/srv"\},"segments":\[\[1,40\],\[41,0\]\],"sourceDigest":"[^"]*"\}$/,
  );
});

test("a record reads back as it was written, whatever its texts hold", () => {
  const any = fc.string({ unit: "binary" });
  const texts = fc.array(any);
  const record = fc.record({
    layoutVersion: fc.maxSafeNat(),
    platform: fc.oneof(
      fc.record({ os: any, architecture: any }),
      fc.record({ os: any, architecture: any, variant: any }),
    ),
    run: fc.record({
      user: any,
      workingDir: any,
      env: texts,
      entrypoint: texts,
      cmd: texts,
      exposedPorts: texts,
      volumes: texts,
      stopSignal: any,
      labels: fc.uniqueArray(fc.tuple(any, any), { selector: ([key]) => key }),
    }),
    options: fc.record({ mtime: any, sizeRequest: any }),
  });
  fc.assert(
    fc.property(record, (parts) => {
      const full: ImageRecord = { ...sampleRecord, ...parts };
      const back = parseImageRecord(encodeImageRecord(full));
      const sorted = [...full.run.labels].sort(([left], [right]) => Buffer.compare(utf8(left), utf8(right)));
      expect(back).toEqual({ ...full, run: { ...full.run, labels: sorted } });
    }),
  );
});

test("labels are written in the order of their UTF-8 bytes, not of UTF-16 units", () => {
  const labels = [...sampleRecord.run.labels].reverse();
  const reordered = { ...sampleRecord, run: { ...sampleRecord.run, labels } };
  expect(new TextDecoder().decode(encodeImageRecord(reordered))).toBe(text);
});

test("text that is not well-formed survives", () => {
  const record = { ...sampleRecord, run: { ...sampleRecord.run, user: "\ud800", labels: [] } };
  expect(parseImageRecord(encodeImageRecord(record)).run.user).toBe("\ud800");
});

const digest = `sha256:${"a".repeat(64)}`;
test.each([
  ["no JSON", "{"],
  ["a list", "[]"],
  ["null", "null"],
  ["white space before", ` ${text}`],
  ["a line end after", `${text}\n`],
  ["a byte order mark", `\ufeff${text}`],
  ["a member more", text.replace("{", '{"a":1,')],
  ["a member less", text.replace(/,"sourceDigest":"[^"]*"/, "")],
  ["a member twice", text.replace("{", `{"diskDigest":"${digest}",`)],
  ["__proto__", text.replace("{", '{"__proto__":1,')],
  [
    "another order",
    text.replace(/"options":(\{[^}]*\}),"platform":(\{[^}]*\})/, '"platform":$2,"options":$1'),
  ],
  ["another escape", text.replace("/srv", "\\/srv")],
  ["a digest of another form", text.replace(digest, "sha256:00")],
  ["a disk digest of another algorithm", text.replace(digest, `sha512:${"a".repeat(128)}`)],
  ["a number as text", text.replace('"layoutVersion":1', '"layoutVersion":"1"')],
  ["a broken number", text.replace('"layoutVersion":1', '"layoutVersion":1.5')],
  ["a number in another form", text.replace('"layoutVersion":1', '"layoutVersion":1e0')],
  ["a negative number", text.replace('"layoutVersion":1', '"layoutVersion":-1')],
  ["text as list", text.replace('"volumes":["/data"]', '"volumes":"/data"')],
  ["a number in a list", text.replace('["/data"]', "[1]")],
  ["a label of three", text.replace('["a","1"]', '["a","1","2"]')],
  ["a label of one", text.replace('["a","1"]', '["a"]')],
  ["labels out of order", text.replace('["a","1"]', '["\u{1f981}","1"]')],
  ["a label twice", text.replace('["a","1"]', '["a","1"],["a","2"]')],
  ["a segment less", text.replace(",[41,0]", "")],
  ["a segment more", text.replace(",[41,0]", ",[41,0],[41,0]")],
  ["a segment of three", text.replace("[41,0]", "[41,0,0]")],
  ["a segment of one", text.replace("[41,0]", "[41]")],
  ["a segment that is broken", text.replace("[41,0]", "[41,0.5]")],
  ["a variant that is null", text.replace('"v8"', "null")],
])("a record is refused that has %s", (_, changed) => {
  expect(changed).not.toBe(text);
  expect(codeOf(() => parseImageRecord(utf8(changed)))).toBe("MANIFEST_INVALID");
});

test("a record is refused that is not UTF-8", () => {
  const bytes = utf8(text);
  bytes[bytes.indexOf(0x73)] = 0xff;
  expect(codeOf(() => parseImageRecord(bytes))).toBe("MANIFEST_INVALID");
});

test("a refusal does not quote what the customer sealed", () => {
  try {
    parseImageRecord(utf8(`${text.slice(0, -1)},SECRET`));
    expect.unreachable();
  } catch (error) {
    expect(String(error)).not.toContain("SECRET");
    expect((error as Error).cause).toBeUndefined();
  }
});

test("a record of the largest size is taken and one byte more is not", () => {
  const room = IMAGE_RECORD_BYTES_MAX - text.length;
  const withUser = (user: string): ImageRecord => ({ ...sampleRecord, run: { ...sampleRecord.run, user } });
  const spare = utf8(text).length - text.length;
  const fitting = sampleRecord.run.user + "x".repeat(room - spare);
  const bytes = encodeImageRecord(withUser(fitting));
  expect(bytes.length).toBe(IMAGE_RECORD_BYTES_MAX);
  expect(parseImageRecord(bytes).run.user.length).toBe(fitting.length);
  expect(codeOf(() => encodeImageRecord(withUser(`${fitting}x`)))).toBe("DOCUMENT_TOO_LARGE");
  expect(codeOf(() => parseImageRecord(new Uint8Array(IMAGE_RECORD_BYTES_MAX + 1)))).toBe(
    "DOCUMENT_TOO_LARGE",
  );
});
