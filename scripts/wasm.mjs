// Compiles src/oci/assembly/inflate.ts to WebAssembly, into src/oci/_inflate-code.ts; `--check` only says whether that is fresh.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import asc from "assemblyscript/asc";

const top = fileURLToPath(new URL("..", import.meta.url));
const output = fileURLToPath(new URL("../src/oci/_inflate-code.ts", import.meta.url));

const OPTIONS = [
  ...["--outFile", "inflate.wasm", "-O3", "--noAssert", "--runtime", "stub", "--enable", "simd"],
  // What the source's layout needs, and no more; constants below 4096, where that has its tables.
  ...["--memoryBase", "1024", "--initialMemory", "144", "--maximumMemory", "144"],
  // Other threads can see the output.
  ...["--enable", "threads", "--sharedMemory"],
];

async function compile() {
  let code;
  const { error, stderr } = await asc.main(["src/oci/assembly/inflate.ts", "--baseDir", top, ...OPTIONS], {
    writeFile: (_name, contents) => {
      code = contents;
    },
  });
  if (error !== null) throw new Error(`${error.message}\n${stderr.toString()}`);
  if (!WebAssembly.validate(code)) throw new Error("the compiler made no valid module");
  return code;
}

function moduleOf(code) {
  const lines = Buffer.from(code)
    .toString("base64")
    .match(/.{1,100}/g);
  return `/** WebAssembly in base64, by \`npm run wasm\` from assembly/inflate.ts. Do not edit. */
export const INFLATE_CODE: string = [
${lines.map((line) => `  "${line}",`).join("\n")}
].join("");
`;
}

const fresh = moduleOf(await compile());
if (!process.argv.includes("--check")) writeFileSync(output, fresh);
else if (readFileSync(output, "utf8") !== fresh) {
  process.stderr.write(
    "src/oci/_inflate-code.ts is not what assembly/inflate.ts compiles to; run `npm run wasm`\n",
  );
  process.exitCode = 1;
}
