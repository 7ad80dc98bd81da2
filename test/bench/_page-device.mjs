// The part of docs/benchmarks/README.md that is about devices: rates beside other servers, and starts of programs.
import { showNumber, showSpread } from "./_figures.mjs";
import { table } from "./_table.mjs";

/** The tables of a record of `npm run bench:device`; either part may be missing. */
export function tellDevice({ machine, versions, runs, rates, starts }) {
  return [
    `Machine: ${machine}. Medians and range of ${runs} turns after one to warm up.`,
    `Beside: ${versions.join("; ")}.\n`,
    ...(rates === undefined ? [] : [tellRates(rates)]),
    ...(starts === undefined ? [] : [tellStarts(starts)]),
  ].join("\n");
}

function tellRates({ image, seconds, rows }) {
  const share = 100 * (1 - image.chunks.zero / image.chunks.total);
  const lines = rows.flatMap(({ name, unit, servers }) =>
    servers.map((server) => [
      name,
      server.name,
      `${showSpread(server.rate)} ${unit}`,
      showSpread(server.ratio),
    ]),
  );
  return (
    `A disk of ${showNumber(image.sizeBytes / 1e6)} MB, ${showNumber(share)} % of it chunks, in memory everywhere; fio runs for ${seconds} s.\n\n` +
    table(["", "server", "rate", "of nbdkit"], lines)
  );
}

function tellStarts({ delayMs, rows }) {
  const kinds = {
    pulled: "pulled and unpacked first",
    cold: `store ${delayMs} ms away`,
    replayed: `store ${delayMs} ms away, trace replayed`,
    near: "store without delay",
  };
  const lines = rows.flatMap(({ command, image, starts, ofAllowed }) =>
    Object.entries(kinds)
      .filter(([kind]) => starts[kind] !== undefined)
      .map(([kind, text]) => {
        const { totalSeconds, mountSeconds, pullSeconds, fetchedBytes, chunkCount } = starts[kind];
        const isPulled = mountSeconds === undefined;
        return [
          `\`${command.join(" ")}\``,
          text,
          showSpread(totalSeconds),
          showNumber((isPulled ? pullSeconds : mountSeconds).median),
          isPulled ? "-" : showNumber(chunkCount.median),
          showNumber((isPulled ? image.storedBytes : fetchedBytes.median) / 1e6),
          showNumber(image.diskBytes / 1e6),
          kind === "replayed" && ofAllowed !== undefined ? showSpread(ofAllowed) : "",
        ];
      }),
  );
  const head = ["", "", "s in all", "s until mounted", "chunks", "MB fetched", "MB of disk", "of allowed"];
  return (
    "From the call of `lambda-img mount` to the program's end. Pulled are compressed layers, by skopeo and umoci from a registry " +
    "on this machine, without delay. Allowed are 1.3 times the start without delay, and a round trip for each 16 chunks.\n\n" +
    table(head, lines)
  );
}
