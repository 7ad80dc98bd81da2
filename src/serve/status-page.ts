/**
 * The page `/` of the status server: one document that loads nothing, asks its own server for `/status.json`, and draws
 * what it is told. Everything that is drawn stands in tables below, too.
 */
import { sha256Source } from "../base/digest.ts";
import { STATUS_PAGE_SCRIPT } from "./_status-page-script.ts";
import { STATUS_PAGE_STYLE } from "./_status-page-style.ts";

/** The content security policy that the page is sent with. */
export const STATUS_PAGE_POLICY: string = [
  "default-src 'none'",
  `script-src '${sha256Source(STATUS_PAGE_SCRIPT)}'`,
  `style-src '${sha256Source(STATUS_PAGE_STYLE)}'`,
  "connect-src 'self'",
  // The empty icon, without which browsers ask for /favicon.ico.
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const TIER_KEYS = [
  ["memory", "memory"],
  ["disk", "disk"],
  ["store", "store"],
] as const;

/** The whole document. */
export const STATUS_PAGE: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>lambda-img serve: status</title>
<style>${STATUS_PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>lambda-img serve</h1>
<div class="state"><button id="pause" type="button">Pause</button><p id="state" role="status">asking</p></div>
<dl>
${fact("uptime", "up for")}
${fact("verified", "chunks verified")}
${fact("corrupt", "corrupt chunks met")}
${fact("failing", "chunks failing now")}
${fact("connections", "NBD connections")}
${fact("resident", "resident memory")}
</dl>
</header>
<main>
<noscript><p>The charts need JavaScript. The same numbers are at <a href="metrics">metrics</a>.</p></noscript>
<div class="charts">
${chart({ id: "distribution", title: "Latency of reads, by tier", note: "Part of all since the start that took at most so long, on a logarithmic axis. Hits in memory are not timed: they count as 100 ns.", keys: [["all", "NBD reads, as clients see them"], ...TIER_KEYS] })}
${chart({ id: "rates", title: "Hit rate by tier", note: "Part of the lookups of each second that found the chunk.", keys: TIER_KEYS })}
${chart({ id: "bytes", title: "Bytes per second", note: "Chunks found in each tier, and what clients have read.", keys: [["all", "to NBD clients"], ...TIER_KEYS] })}
${chart({
  id: "queues",
  title: "Queue depths",
  note: "At the moment of each report.",
  keys: [
    ["all", "NBD requests under way"],
    ["memory", "NBD connections"],
    ["disk", "chunk loads under way"],
    ["store", "chunk loads that wait for their turn"],
  ],
})}
</div>
${table("tiers", "Lookups by tier, since the start", ["Tier", "Hits", "Misses", "Corrupt", "Failed", "Hit rate", "Found", "Per second", "Filled", "Fills failed"])}
${table("latencies", "Latency of chunk reads by tier, since the start", ["Tier", "Reads", "Median", "90 %", "99 %", "Mean"])}
${table("depths", "Queue depths, now", ["Queue", "Depth"])}
${table("commands", "NBD requests, since the start", ["Command", "Answered", "Errors", "Payload", "Median", "90 %", "99 %"])}
</main>
<script>${STATUS_PAGE_SCRIPT}</script>
</body>
</html>
`;

interface Chart {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  readonly keys: readonly (readonly [style: string, label: string])[];
}

function chart({ id, title, note, keys }: Chart): string {
  const legend = keys.map(
    ([style, label]) =>
      `<span><svg viewBox="0 0 26 10" aria-hidden="true"><path class="curve ${style}" d="M1 5H25"/></svg>${label}</span>`,
  );
  return `<figure aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
<p class="note">${note}</p>
<div class="chart" id="${id}" role="img" aria-label="${title}: a chart; the tables below have its numbers"></div>
<figcaption>${legend.join("")}</figcaption>
</figure>`;
}

function fact(id: string, label: string): string {
  return `<div><dt>${label}</dt><dd id="${id}">-</dd></div>`;
}

function table(id: string, caption: string, head: readonly string[]): string {
  // A caption in the table would be as wide as the table, and out of sight where the window is narrow.
  return `<h2 id="${id}-caption">${caption}</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-caption"><table id="${id}" aria-labelledby="${id}-caption">
<thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join("")}</tr></thead>
<tbody></tbody></table></div>`;
}
