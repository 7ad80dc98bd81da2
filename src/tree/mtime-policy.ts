/** Which modification times the disk image has: those of the layers, or others that rebuilds agree on. */
import type { Timestamp } from "../base/timestamp.ts";
import type { Tree } from "./tree.ts";

/**
 * `clamp`: a time after the given second becomes that second, as the SOURCE_DATE_EPOCH specification wants it. `zero`:
 * every time is the epoch.
 */
export type MtimePolicy =
  | { readonly kind: "preserve" }
  | { readonly kind: "zero" }
  | { readonly kind: "clamp"; readonly seconds: number };

/** The last second that ext4 can hold: a later one would clamp nothing. */
const CLAMP_SECONDS_MAX = 2 ** 34 - 2 ** 31 - 1;

/** The policy that `text` says (`preserve`, `zero`, `clamp:SECONDS`), or `undefined`. Each policy has one text. */
export function parseMtimePolicy(text: string): MtimePolicy | undefined {
  if (text === "preserve" || text === "zero") return { kind: text };
  const digits = /^clamp:(0|[1-9][0-9]{0,10})$/.exec(text)?.[1];
  if (digits === undefined || Number(digits) > CLAMP_SECONDS_MAX) return undefined;
  return { kind: "clamp", seconds: Number(digits) };
}

/** The text that parseMtimePolicy reads. */
export function showMtimePolicy(policy: MtimePolicy): string {
  return policy.kind === "clamp" ? `clamp:${policy.seconds}` : policy.kind;
}

/** Gives every inode of the tree its time under the policy. */
export function applyMtimePolicy(tree: Tree, policy: MtimePolicy): void {
  if (policy.kind === "preserve") return;
  const todo = [tree.rootDirectory];
  for (let inode = todo.pop(); inode !== undefined; inode = todo.pop()) {
    inode.mtime = timeUnder(policy, inode.mtime);
    for (const child of inode.children?.values() ?? []) todo.push(child);
  }
}

/** The time that an entry's time becomes. */
function timeUnder(policy: MtimePolicy, time: Timestamp): Timestamp {
  if (policy.kind === "preserve") return time;
  if (policy.kind === "zero") return { seconds: 0, nanoseconds: 0 };
  const isLater = time.seconds > policy.seconds || (time.seconds === policy.seconds && time.nanoseconds > 0);
  return isLater ? { seconds: policy.seconds, nanoseconds: 0 } : time;
}
