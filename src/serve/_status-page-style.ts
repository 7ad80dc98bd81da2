/** The style of the status page: system fonts, light and dark, one column where the window is narrow. */
export const STATUS_PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #fcfcfb; --ink: #1d1f21; --dim: #5c6064; --line: #d9dbdc; --panel: #f4f5f5; --focus: #0b57d0;
  --memory: #0b6bcb; --disk: #c2410c; --store: #7a3ea8; --all: #1d1f21;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181a; --ink: #e6e7e8; --dim: #a2a8ad; --line: #34383b; --panel: #1d2022; --focus: #8ab4f8;
    --memory: #6cb2ff; --disk: #ff9a56; --store: #c99bf0; --all: #e6e7e8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 2rem 3rem; max-width: 84rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0; }
p { margin: .25rem 0 .75rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0 1.5rem; }
dt { color: var(--dim); font-size: .85rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.note { color: var(--dim); font-size: .85rem; margin: 0; }
.state { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.state p { margin: 0; }
.state .broken { color: var(--disk); font-weight: 600; }
button {
  font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .25rem .9rem; min-height: 2.25rem; cursor: pointer;
}
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.25rem; margin: 0 0 2rem; }
figure { margin: 0; padding: 1rem 1.1rem .8rem; border: 1px solid var(--line); border-radius: 8px; background: var(--panel); }
figcaption { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .85rem; padding-top: .3rem; }
figcaption span { display: inline-flex; align-items: center; gap: .4rem; }
figcaption svg { width: 26px; height: 10px; }
.chart { min-height: 230px; margin-top: .4rem; }
.chart svg { display: block; width: 100%; height: 230px; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.memory { stroke: var(--memory); }
.disk { stroke: var(--disk); stroke-dasharray: 7 3; }
.store { stroke: var(--store); stroke-dasharray: 2 3; }
.all { stroke: var(--all); stroke-width: 1.25; }
.grid { stroke: var(--line); stroke-width: 1; fill: none; }
.chart text { fill: var(--dim); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.chart .empty { font-size: 13px; }
.scroll { overflow-x: auto; margin: 0 0 1.5rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
main > h2 { font-size: .95rem; padding: .25rem 0; }
th, td { text-align: right; padding: .2rem 0 .2rem 1.25rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--dim); font-weight: 500; }
tbody th { color: var(--ink); }
@media (max-width: 56rem) {
  body { padding: 1rem 1rem 2rem; }
  .charts { grid-template-columns: minmax(0, 1fr); gap: .9rem; }
  dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .5rem 1rem; }
}
`;
