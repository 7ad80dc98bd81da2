/** Parallel work with a stated bound. */

/**
 * Runs `work` on every item, at most `limit` at a time, in no promised order of completion; resolves when
 * all are done. The first failure stops new work, waits for what is under way, and is thrown.
 */
export async function forEachLimited<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  try {
    for await (const item of items) {
      if (failures.length > 0) break;
      const task: Promise<void> = work(item)
        .catch((error: unknown) => {
          failures.push(error);
        })
        .finally(() => running.delete(task));
      running.add(task);
      if (running.size >= limit) await Promise.race(running);
    }
  } catch (error) {
    failures.push(error); // Of the items themselves: what is under way is waited for all the same.
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
