/** Prometheus' own parser and linter of metrics. */
import { spawn } from "node:child_process";

/** What promtool has to say against the text; nothing if all is well. */
export async function judgeMetrics(text: string): Promise<string> {
  const child = spawn("promtool", ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (piece: string) => {
      said += piece;
    });
  }
  const status = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  child.stdin.end(text);
  return (await status) === 0 ? said : `status ${await status}: ${said}`;
}
