/**
 * A page of HTML that stands alone: facts, tables and maps of chunks. Its content security policy lets it load nothing
 * and run only the one script that is in it; what comes from images gets into it as text alone.
 */
import { sha256Source } from "../base/digest.ts";
import { escapeJson, escapeText } from "./_escape.ts";
import { PAGE_SCRIPT } from "./_page-script.ts";
import { PAGE_STYLE } from "./_page-style.ts";
import type { ChunkMaps } from "./chunk-maps.ts";

/** A table; cells are text. */
export interface PageTable {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What is on a page. */
export interface Page {
  readonly title: string;
  readonly intro: string;
  readonly facts: readonly (readonly [label: string, value: string])[];
  /** Short ones before the maps, long ones behind. */
  readonly tables: readonly PageTable[];
  readonly longTables: readonly PageTable[];
  /** What the colour of a chunk that no other image has is called. */
  readonly uniqueLabel: string;
  readonly maps: ChunkMaps;
}

/** The page as one document in UTF-8. */
export function renderPage(page: Page): string {
  const { maps } = page;
  const images = maps.images.map((image, index) => {
    const heading = `map-${index}`;
    const note = image.note === "" ? "" : `<p class="note">${escapeText(image.note)}</p>`;
    return `<section aria-labelledby="${heading}">
<h2 id="${heading}">${escapeText(image.title)}</h2>
<p class="lines">${image.lines.map(escapeText).join("<br>")}</p>
<div class="map" data-image="${index}"></div>
${note}<details><summary>Regions as a table</summary>
${renderTable({ caption: `Regions of ${image.title}`, head: REGION_HEAD, rows: image.regionRows })}</details>
</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeText(page.title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escapeText(page.title)}</h1>
<p>${escapeText(page.intro)}</p>
<dl>${page.facts.map(([label, value]) => `<div><dt>${escapeText(label)}</dt><dd>${escapeText(value)}</dd></div>`).join("")}</dl>
</header>
<main>
${page.tables.map(renderTable).join("\n")}
<div id="legend" class="legend" aria-label="Colours"></div>
<p class="note" id="help">Each square is a chunk of 512 KiB. Point at one, or focus a map and use the arrow keys, Page Up, Page Down, Home and End; the panel tells what the chunk holds.</p>
<noscript><p>The maps need JavaScript; the tables do not.</p></noscript>
${images.join("\n")}
${maps.note === "" ? "" : `<p class="note">${escapeText(maps.note)}</p>`}
${page.longTables.map(renderTable).join("\n")}
</main>
<aside id="panel" aria-label="Chunk" aria-live="polite"><p>No chunk chosen.</p></aside>
<script type="application/json" id="maps">${escapeJson({ uniqueLabel: page.uniqueLabel, ...maps.drawing })}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

const REGION_HEAD = ["Region", "First chunk", "Filled", "Zero", "In no other image", "Shared"];

function renderTable({ caption, head, rows }: PageTable): string {
  const cells = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll" tabindex="0"><table><caption>${escapeText(caption)}</caption>
<thead>${cells("th", head)}</thead>
<tbody>${rows.map((row) => cells("td", row)).join("\n")}</tbody></table></div>`;
}

function contentSecurityPolicy(): string {
  return [
    "default-src 'none'",
    `script-src '${sha256Source(PAGE_SCRIPT)}'`,
    `style-src '${sha256Source(PAGE_STYLE)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}
