// V8's CPU profiles (.cpuprofile) as sums: by group of functions, and by function.

/** Groups in the order of the table: what a thread does, and `idle`, when it waits for something to do. */
export const GROUPS = [
  "inflate",
  "sha256",
  "aes",
  "tar",
  "place",
  "flatten",
  "ext4",
  "fs",
  "messages",
  "gc",
  "start",
  "other",
  "idle",
];

const BY_NAME = new Map([
  ["(idle)", "idle"],
  ["(garbage collector)", "gc"],
  ["(program)", "other"],
  ["(root)", "other"],
  ["postMessage", "messages"],
]);

/** By the place of the code, first match; what no line names works for its caller (buffers, paths, native functions). */
const BY_PLACE = [
  [/^node:zlib|^dist\/oci\//, "inflate"],
  [/^node:internal\/crypto\/(hash|hkdf)|^dist\/base\/digest/, "sha256"],
  [/^node:internal\/crypto\/cipher/, "aes"],
  [/^dist\/tar\//, "tar"],
  [/^dist\/segment\//, "place"],
  [/^dist\/tree\//, "flatten"],
  [/^dist\/ext4\//, "ext4"],
  [/^node:(internal\/)?fs|^dist\/store\//, "fs"],
  [/^node:(internal\/)?(worker|per_context\/messageport)|^dist\/base\/rooms/, "messages"],
  [/^node:internal\/(modules|bootstrap|main|process\/(pre_execution|execution|esm_loader)|vm)/, "start"],
  [
    /^(dist\/(?!base\/)|node:internal\/(timers|process|streams|async_hooks|event_target|webstreams))/,
    "other",
  ],
];

/** Seconds of a thread's own time: by group, in all, and by function, the most first. */
export function foldProfile({ nodes, samples, timeDeltas }) {
  const groups = Object.fromEntries(GROUPS.map((group) => [group, 0]));
  const functions = new Map();
  const places = placeNodes(nodes);
  let seconds = 0;
  for (const [index, id] of samples.entries()) {
    const { name, place, group } = places.get(id);
    // A clock that is set back between two samples gives a negative delta.
    const spent = Math.max(0, timeDeltas[index]) / 1e6;
    seconds += spent;
    groups[group] += spent;
    const key = `${name} ${place}`.trim();
    functions.set(key, (functions.get(key) ?? 0) + spent);
  }
  const sorted = [...functions].map(([name, own]) => ({ name, seconds: own }));
  return { seconds, groups, functions: sorted.sort((left, right) => right.seconds - left.seconds) };
}

/** Name, place and group of each node of the call tree. */
function placeNodes(nodes) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const places = new Map();
  const visit = (root) => {
    const open = [{ node: root, inherited: "other" }];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { functionName, url } = next.node.callFrame;
      const place = showPlace(url);
      const group = BY_NAME.get(functionName) ?? groupOf(place) ?? next.inherited;
      places.set(next.node.id, { name: functionName || "(anonymous)", place, group });
      for (const id of next.node.children ?? []) open.push({ node: byId.get(id), inherited: group });
    }
  };
  const children = new Set(nodes.flatMap((node) => node.children ?? []));
  for (const node of nodes) if (!children.has(node.id)) visit(node);
  return places;
}

function groupOf(place) {
  return BY_PLACE.find(([pattern]) => pattern.test(place))?.[1];
}

/** A URL without the path of the machine: dist/tar/parser.js, node_modules/commander/lib/command.js, node:zlib. */
function showPlace(url) {
  if (!url.startsWith("file:") && !url.startsWith("/")) return url;
  return /(?:.*\/)?((?:dist|node_modules|bin)\/.*)$/.exec(url)?.[1] ?? url.replace(/^.*\//, "");
}
