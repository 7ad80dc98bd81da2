// `node test/bench/draw.mjs`: plots and page of docs/benchmarks, from the records there.
import { drawAll } from "./_drawings.mjs";
import { readOptions, RECORDS } from "./_options.mjs";

const USAGE = `usage: node test/bench/draw.mjs [--folder DIRECTORY]

Draws the plots and writes the page (README.md) of a folder of records: convert.json, convert-large.json, scale.json,
micro.json, device.json, profile.txt, as far as they are there.

  --folder DIRECTORY  (default: docs/benchmarks)
`;

drawAll(readOptions(USAGE, { folder: { type: "string", default: RECORDS } }).folder);
