/** A CPU profile is folded without losing a sample, and tells of no machine. */
import { Session } from "node:inspector";

import { expect, test } from "vitest";

import { foldProfile, GROUPS, type Profile } from "./_profile-fold.mjs";

function node(id: number, functionName: string, url: string, children: number[] = []) {
  return { id, callFrame: { functionName, url }, children };
}

const TREE = [
  node(1, "(root)", "", [2, 3, 9]),
  node(2, "(idle)", ""),
  node(3, "push", "file:///somewhere/else/dist/tar/parser.js", [4, 6]),
  node(4, "subarray", "node:buffer", [5]),
  node(5, "FastBuffer", ""),
  node(6, "write", "file:///somewhere/else/dist/segment/segment-chunks.js", [7]),
  node(7, "viewOf", "file:///somewhere/else/dist/base/bytes.js", [8]),
  node(8, "postMessage", ""),
  node(9, "", "node:internal/crypto/hash"),
];

/** A profile with one sample of `index + 1` seconds at each of these nodes. */
function profileOf(samples: number[]): Profile {
  return { nodes: TREE, samples, timeDeltas: samples.map((_, index) => 1e6 * (index + 1)) };
}

test.each([
  ["idle", 2],
  ["tar", 3],
  ["place", 6],
  ["messages", 8],
  ["sha256", 9],
])("the place of the code says the group: %s", (group, id) => {
  expect(foldProfile(profileOf([id])).groups[group]).toBeCloseTo(1);
});

test.each([
  ["a buffer's method", 4, "tar"],
  ["a native function in it", 5, "tar"],
  ["a function of base/", 7, "place"],
])("%s works for its caller", (_, id, group) => {
  expect(foldProfile(profileOf([id])).groups[group]).toBeCloseTo(1);
});

test("groups and functions have all of the time, the functions with most of it first", () => {
  const { seconds, groups, functions } = foldProfile(profileOf([2, 3, 4, 5, 6, 7, 8, 9, 3]));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  expect(seconds).toBeCloseTo(45);
  expect(sum(Object.values(groups))).toBeCloseTo(seconds);
  expect(sum(functions.map((each) => each.seconds))).toBeCloseTo(seconds);
  expect(functions[0]).toEqual({ name: "push dist/tar/parser.js", seconds: 11 });
  expect(functions.map(({ name }) => name)).toContain("(anonymous) node:internal/crypto/hash");
});

test("a clock that was set back takes nothing away", () => {
  expect(foldProfile({ nodes: TREE, samples: [3, 3], timeDeltas: [-5e6, 2e6] }).seconds).toBeCloseTo(2);
});

test("no path of a machine is left", () => {
  const urls = [
    "file:///a/b/node_modules/commander/lib/command.js",
    "/a/b/bin/lambda-img",
    "file:///a/b/c.mjs",
  ];
  const nodes = urls.map((url, index) => node(index + 1, "f", url));
  const { functions } = foldProfile({ nodes, samples: [1, 2, 3], timeDeltas: [3, 2, 1] });
  expect(functions.map(({ name }) => name)).toEqual([
    "f node_modules/commander/lib/command.js",
    "f bin/lambda-img",
    "f c.mjs",
  ]);
});

test("a profile that V8 takes is folded whole", async () => {
  const session = new Session();
  session.connect();
  const post = (method: string): Promise<object> =>
    new Promise((resolve, reject) => {
      session.post(method, (error, result) => {
        if (error === null) resolve(result ?? {});
        else reject(error);
      });
    });
  await post("Profiler.enable");
  await post("Profiler.start");
  JSON.parse(JSON.stringify(Array.from({ length: 100_000 }, (_, index) => ({ index }))));
  const { profile } = (await post("Profiler.stop")) as { profile: Profile };
  session.disconnect();
  const { seconds, groups } = foldProfile(profile);
  expect(Object.keys(groups)).toEqual(GROUPS);
  expect(Object.values(groups).reduce((sum, value) => sum + value, 0)).toBeCloseTo(seconds);
});
