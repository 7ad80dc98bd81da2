/** Two disk images walked side by side. */
import type { WalkedPath } from "../ext4/reader.ts";
import { compareWalkOrder } from "./_walk-order.ts";

/** A path and its inode in each disk image that has it: at least in one. */
export interface PathPair {
  readonly before: WalkedPath | undefined;
  readonly after: WalkedPath | undefined;
}

/** Every path of both once. Memory does not grow with them: walks come in one order, so that they can be merged. */
export async function* pairWalks(
  before: AsyncIterable<WalkedPath>,
  after: AsyncIterable<WalkedPath>,
): AsyncGenerator<PathPair> {
  const left = before[Symbol.asyncIterator]();
  const right = after[Symbol.asyncIterator]();
  const next = async (walk: AsyncIterator<WalkedPath>): Promise<WalkedPath | undefined> => {
    const step = await walk.next();
    return step.done === true ? undefined : step.value;
  };
  let old = await next(left);
  let young = await next(right);
  while (old !== undefined || young !== undefined) {
    const order = old === undefined ? 1 : young === undefined ? -1 : compareWalkOrder(old.path, young.path);
    yield { before: order <= 0 ? old : undefined, after: order >= 0 ? young : undefined };
    if (order <= 0) old = await next(left);
    if (order >= 0) young = await next(right);
  }
}
