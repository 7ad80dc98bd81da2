/** The kernel counts how often memory has to be made anew. Runs what is built, in a process of its own. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { expect, test } from "vitest";

const BUILT = path.resolve(import.meta.dirname, "../../dist");
const built = (file: string): string => JSON.stringify(pathToFileURL(path.join(BUILT, file)).href);
const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
const isGlibc = header.glibcVersionRuntime !== undefined;

/** Page faults of sealing three chunks at a time, a hundred times. */
function faults(isKeeping: boolean): number {
  const program = `
    import { createCipheriv } from "node:crypto";
    import { releaseBytes } from ${built("base/release.js")};
    import { keepFreedMemory } from ${built("cli/keep-freed-memory.js")};
    if (${String(isKeeping)}) keepFreedMemory();
    const plain = new Uint8Array(524288).fill(1);
    const seal = () => createCipheriv("aes-256-ctr", new Uint8Array(32), new Uint8Array(16)).update(plain);
    const before = process.resourceUsage().minorPageFault;
    for (let turn = 0; turn < 100; turn++)
      for (const sealed of [seal(), seal(), seal()]) releaseBytes(new Uint8Array(sealed.buffer));
    console.log(process.resourceUsage().minorPageFault - before);`;
  return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", program]));
}

test.skipIf(!existsSync(BUILT) || !isGlibc)("chunks find the memory of those before them", () => {
  expect(faults(true)).toBeLessThan(faults(false) / 4);
});
