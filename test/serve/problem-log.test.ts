import { expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { ProblemLog } from "../../src/serve/problem-log.ts";

function makeLog(): { log: ProblemLog; lines: string[] } {
  const lines: string[] = [];
  return { log: new ProblemLog((text) => lines.push(text)), lines };
}

test("a problem is said once, however many connections have it", () => {
  const { log, lines } = makeLog();
  for (const connection of [1, 2, 3]) {
    log.problem({ connection, error: new LambdaImgError("NBD_PROTOCOL", "not NBD") });
    log.problem({ connection, error: new TypeError("a bug") });
  }
  expect(lines).toEqual(["not NBD", "TypeError: a bug"]);
});

test("failures of chunks and cancelled work are not said", () => {
  const { log, lines } = makeLog();
  const details = { chunkIndex: 3 };
  log.problem({ connection: 1, error: new LambdaImgError("CHUNK_CORRUPT", "chunk 3", { details }) });
  log.problem({ connection: 1, error: new LambdaImgError("CANCELLED", "stopping") });
  expect(lines).toEqual([]);
});

test("events of chunks are said with the image and the reason", () => {
  const { log, lines } = makeLog();
  const image = `sha256:${"ab".repeat(32)}`;
  log.chunk({ kind: "failed", image, chunkIndex: 3, error: new Error("chunk 3: gone") });
  log.chunk({ kind: "recovered", image, chunkIndex: 3 });
  log.chunk({ kind: "failing-many", image, chunkIndex: 4 });
  expect(lines).toEqual([
    "cannot read a chunk of sha256:abababababab: chunk 3: gone",
    "chunk 3 of sha256:abababababab can be read again",
    "too many chunks fail to name them all",
  ]);
});

test("a client that has a new problem every time fills no disk", () => {
  const { log, lines } = makeLog();
  for (let turn = 0; turn < 1010; turn++) {
    log.problem({ connection: turn, error: new LambdaImgError("NBD_PROTOCOL", `problem ${turn}`) });
  }
  expect(lines).toHaveLength(1001);
  expect(lines.at(-1)).toBe("there are too many problems to name them all");
});
