import { expect, test } from "vitest";

import { parseChallenges } from "../../src/registry/challenge.ts";

test.each([
  ["", []],
  ["Basic", [["basic", {}]]],
  ['Basic realm="x"', [["basic", { realm: "x" }]]],
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    [
      [
        "bearer",
        {
          realm: "https://auth.docker.io/token",
          service: "registry.docker.io",
          scope: "repository:a/b:pull,push",
        },
      ],
    ],
  ],
  [
    'Bearer realm="https://a/t?x=1,2", Basic realm="y"',
    [
      ["bearer", { realm: "https://a/t?x=1,2" }],
      ["basic", { realm: "y" }],
    ],
  ],
  [
    'Basic, Bearer realm="a"',
    [
      ["basic", {}],
      ["bearer", { realm: "a" }],
    ],
  ],
  [
    'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
    [
      ["newauth", { realm: "apps", type: "1", title: 'Login to "apps"' }],
      ["basic", { realm: "simple" }],
    ],
  ],
  [
    'Negotiate abc/+de==, Basic realm="x"',
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  ["Negotiate abc=", [["negotiate", {}]]],
  [', ,BEARER  Realm = "a" , , SERVICE=b ,', [["bearer", { realm: "a", service: "b" }]]],
  ["Bearer realm=https://a/t,service=s", [["bearer", { realm: "https://a/t", service: "s" }]]],
  ['Bearer realm=""', [["bearer", { realm: "" }]]],
  ['Bearer realm="a\\\\b"', [["bearer", { realm: "a\\b" }]]],
] as const)("%s", (field, expected) => {
  const found = parseChallenges(field).map(({ scheme, parameters }) => [
    scheme,
    Object.fromEntries(parameters),
  ]);
  expect(found).toEqual(expected);
});

test.each([
  'Bearer realm="a',
  'Bearer realm="a" "b"',
  '"x"',
  "Bearer a=1, a=2",
  'Bearer realm="a"x="b"',
  "=",
  "@",
])("%s is refused", (field) => {
  expect(() => parseChallenges(field)).toThrow(expect.objectContaining({ code: "REGISTRY_INVALID" }));
});

test("a long field takes time in proportion", () => {
  const start = performance.now();
  for (const unit of ["a=", "a=b,", 'a="', ",", " ", "a ", "\\", '"\\', "a=="]) {
    try {
      parseChallenges(`Bearer ${unit.repeat(20_000)}`);
    } catch {
      // Refused or not: it came to an end.
    }
  }
  expect(performance.now() - start).toBeLessThan(2000);
});
