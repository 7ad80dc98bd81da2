/**
 * A process that uses a cache: `_filler.mjs DIRECTORY BYTES FIRST COUNT TURNS`. It asks for chunk after chunk, puts those
 * that are missing, says `put` on stdout after each, and at the end what it found.
 */
import { DiskTier } from "../../dist/cache/disk-tier.js";
import { CHUNK_BYTES, chunkNameOf } from "../../dist/chunk/chunk.js";

const [directory, ...numbers] = process.argv.slice(2);
const [maxBytes, first, count, turns] = numbers.map(Number);
const problems = [];
const tier = await DiskTier.open({ path: directory, maxBytes, onProblem: (text) => problems.push(text) });
const found = { hit: 0, miss: 0, corrupt: 0, failed: 0, wrong: 0, unstored: 0 };
for (let turn = 0; turn < turns; turn++) {
  for (let seed = first; seed < first + count; seed++) {
    const sealed = new Uint8Array(CHUNK_BYTES).fill(seed & 0xff);
    new DataView(sealed.buffer).setUint32(0, seed, true);
    const name = chunkNameOf(sealed);
    const answer = await tier.get(name);
    found[answer.outcome]++;
    if (answer.outcome === "hit") {
      if (Buffer.compare(answer.sealed, sealed) !== 0) found.wrong++;
    } else {
      if ((await tier.put(name, sealed)) !== "stored") found.unstored++;
      process.stdout.write("put\n");
    }
  }
}
await tier.close();
process.stdout.write(`${JSON.stringify({ found, problems })}\n`);
