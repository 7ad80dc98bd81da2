import { expect, test } from "vitest";

import { parseLayoutVersion } from "../../src/oci/image-layout.ts";

const parse = (text: string): void => {
  parseLayoutVersion(new TextEncoder().encode(text), "oci-layout");
};

test("version 1.0.0 is read", () => {
  parse('{"imageLayoutVersion": "1.0.0"}');
});

test.each([
  ['{"imageLayoutVersion":"1.1.0"}', "MEDIA_TYPE_UNSUPPORTED"],
  ["{}", "OCI_INVALID"],
  ['{"imageLayoutVersion":1}', "OCI_INVALID"],
  ["", "OCI_INVALID"],
])("%s is refused", (text, code) => {
  expect(() => {
    parse(text);
  }).toThrow(expect.objectContaining({ code }));
});
