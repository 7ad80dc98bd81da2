/** The style of a page of maps: system fonts, light and dark, one column where the window is narrow. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #fcfcfb; --ink: #1d1f21; --dim: #62666a; --line: #d9dbdc; --panel: #f1f2f2; --focus: #0b57d0;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #16181a; --ink: #e6e7e8; --dim: #9aa0a5; --line: #34383b; --panel: #202326; --focus: #8ab4f8; }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.5rem 2rem 3rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif;
  display: grid; grid-template-columns: minmax(0, 1fr) 22rem; column-gap: 2rem; align-items: start;
}
header, main { grid-column: 1; min-width: 0; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0 1.5rem; }
dt { color: var(--dim); font-size: .85rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.note, .lines { color: var(--dim); font-size: .9rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 0 0 1.5rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; padding: .2rem 1.25rem .2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td:last-child { white-space: normal; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 500; }
td.number, th.number { text-align: right; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--dim); font-size: .9rem; }
.legend {
  display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; padding: .5rem 0; font-size: .9rem;
  position: sticky; top: 0; background: var(--page); border-bottom: 1px solid var(--line); z-index: 1;
}
.legend span { display: inline-flex; align-items: center; gap: .4rem; }
.legend canvas { width: 14px; height: 14px; }
.map { outline-offset: 6px; border-radius: 2px; cursor: crosshair; }
.map:focus-visible { outline: 2px solid var(--focus); }
.region { display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); margin: 0 0 7px; align-items: start; }
.region > div { font-size: .82rem; line-height: 1.25; padding-right: .75rem; text-align: right; color: var(--dim); }
.region b { display: block; font-weight: 600; color: var(--ink); }
.region canvas { display: block; }
#panel {
  grid-column: 2; grid-row: 1 / span 2; position: sticky; top: 1.5rem; max-height: calc(100vh - 3rem); overflow: auto;
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.1rem; font-size: .9rem;
}
#panel h3 { margin: 0 0 .5rem; font-size: 1rem; }
#panel p { margin: 0 0 .4rem; overflow-wrap: anywhere; }
#panel ul { margin: .25rem 0 .5rem; padding-left: 1.1rem; }
#panel li { overflow-wrap: anywhere; margin-bottom: .2rem; }
#panel .dim { color: var(--dim); }
@media (max-width: 60rem) {
  body { display: block; padding: 1rem 1rem 45vh; }
  #panel { position: fixed; inset: auto 0 0 0; max-height: 40vh; border-radius: 0; z-index: 2; }
  .region { grid-template-columns: 1fr; }
  .region > div { text-align: left; }
  .region b { display: inline; margin-right: .5rem; }
}
@media print { #panel { display: none; } body { display: block; } }
`;
