/**
 * The script of a page of maps. It draws every region on a canvas of its own, and tells in a panel what the chunk under
 * the pointer or the keyboard's cursor is. Text from images becomes text nodes, nothing else.
 */
export const PAGE_SCRIPT: string = String.raw`
"use strict";
(() => {
  const model = JSON.parse(document.getElementById("maps").textContent);
  const panel = document.getElementById("panel");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const CHUNK_MIB = 0.5;
  // Orange for what costs; the blues grow stronger with the number of sharers. Told apart by lightness, too.
  const PALETTES = {
    light: { zero: "#e6e8e9", unique: "#d9480f", low: [173, 205, 240], high: [16, 62, 122], mark: "#fcfcfb", cursor: "#000000" },
    dark: { zero: "#2a2e31", unique: "#ff8a3d", low: [42, 78, 120], high: [176, 213, 255], mark: "#16181a", cursor: "#ffffff" },
  };

  // ---- classes of sharing: one colour each, at most six
  const most = model.sets.reduce((max, set) => Math.max(max, set[0]), 1);
  const classes = [{ from: 1, to: 1, label: model.uniqueLabel }];
  if (most <= 6) {
    for (let n = 2; n <= most; n++) classes.push({ from: n, to: n, label: "in " + n + " images" });
  } else {
    const step = Math.pow(most / 2, 1 / 5);
    for (let from = 2, bound = 2 * step; from <= most; bound *= step) {
      const to = Math.min(most, Math.max(from, Math.round(bound)));
      classes.push({ from, to, label: from === to ? "in " + from + " images" : "in " + from + " to " + to + " images" });
      from = to + 1;
    }
  }
  const classOf = model.sets.map(([count]) => classes.findIndex(({ from, to }) => count >= from && count <= to));
  const colours = () => {
    const palette = dark.matches ? PALETTES.dark : PALETTES.light;
    const shades = classes.slice(1).map((_, at, all) => {
      const part = all.length === 1 ? 0.55 : at / (all.length - 1);
      return "rgb(" + palette.low.map((low, i) => Math.round(low + (palette.high[i] - low) * part)).join(",") + ")";
    });
    return { ...palette, classes: [palette.unique, ...shades] };
  };

  // ---- elements
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const drawCell = (pen, x, y, side, colour, mark) => {
    pen.fillStyle = colour;
    pen.fillRect(x, y, side, side);
    if (mark === undefined) return;
    // Metadata: a square with a hole.
    const hole = Math.max(2, Math.round(side / 3));
    const inset = Math.floor((side - hole) / 2);
    pen.fillStyle = mark;
    pen.fillRect(x + inset, y + inset, hole, hole);
  };
  const scaled = (canvas, width, height) => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    return pen;
  };

  // ---- maps
  const maps = [];
  for (const holder of document.querySelectorAll(".map")) {
    const image = model.images[Number(holder.dataset.image)];
    const cells = image.regions.reduce((sum, region) => sum + region.sets.length, 0);
    const pitch = cells > 8000 ? 7 : cells > 1500 ? 10 : 13;
    const map = { holder, image, pitch, regions: [], cursor: null };
    holder.tabIndex = 0;
    holder.setAttribute("role", "application");
    holder.setAttribute("aria-label", "Map of the chunks of " + image.title);
    holder.setAttribute("aria-describedby", "help");
    for (const region of image.regions) {
      const row = element("div", undefined, "region");
      const name = element("div");
      name.append(element("b", region.label));
      const filled = region.sets.reduce((sum, set) => sum + (set >= 0 ? 1 : 0), 0);
      name.append(document.createTextNode(filled + (filled === 1 ? " chunk" : " chunks")));
      const canvas = element("canvas");
      canvas.setAttribute("aria-hidden", "true");
      row.append(name, canvas);
      holder.append(row);
      map.regions.push({ region, canvas, columns: 1, index: map.regions.length });
    }
    maps.push(map);
  }

  const drawRegion = (map, view, palette) => {
    const { region, canvas } = view;
    const width = canvas.parentElement.clientWidth - canvas.previousElementSibling.offsetWidth;
    const room = canvas.previousElementSibling.offsetTop < canvas.offsetTop ? canvas.parentElement.clientWidth : width;
    view.columns = Math.max(1, Math.floor(room / map.pitch));
    const rows = Math.ceil(region.sets.length / view.columns);
    const pen = scaled(canvas, Math.min(view.columns, region.sets.length) * map.pitch + 2, rows * map.pitch + 2);
    view.pen = pen;
    for (let at = 0; at < region.sets.length; at++) drawSquare(map, view, at, palette);
  };
  const drawSquare = (map, view, at, palette) => {
    const { region, pen } = view;
    const side = map.pitch - (map.pitch > 8 ? 2 : 1);
    const x = 1 + (at % view.columns) * map.pitch;
    const y = 1 + Math.floor(at / view.columns) * map.pitch;
    const set = region.sets[at];
    const mark = region.kind === "segment" ? undefined : palette.mark;
    pen.clearRect(x - 1, y - 1, side + 2, side + 2);
    if (set < 0) drawCell(pen, x, y, side, palette.zero);
    else drawCell(pen, x, y, side, palette.classes[classOf[set]], mark);
    if (!map.cursor || map.cursor.view !== view || map.cursor.at !== at) return;
    pen.strokeStyle = palette.cursor;
    pen.lineWidth = 2;
    pen.strokeRect(x, y, side, side);
  };
  const drawAll = () => {
    const palette = colours();
    for (const map of maps) for (const view of map.regions) drawRegion(map, view, palette);
    const legend = document.getElementById("legend");
    legend.replaceChildren();
    const entry = (label, colour, mark) => {
      const item = element("span");
      const swatch = element("canvas");
      drawCell(scaled(swatch, 14, 14), 1, 1, 12, colour, mark);
      item.append(swatch, document.createTextNode(label));
      legend.append(item);
    };
    classes.forEach(({ label }, at) => entry(label, palette.classes[at]));
    entry("metadata", palette.classes[1] || palette.classes[0], palette.mark);
    entry("zero, not stored", palette.zero);
  };

  // ---- the panel
  const tell = (map, view, at) => {
    const { region } = view;
    const index = region.first + at;
    const set = region.sets[at];
    panel.replaceChildren(element("h3", "Chunk " + index));
    panel.append(element("p", map.image.title, "dim"));
    panel.append(element("p", region.label + ", " + index * CHUNK_MIB + " MiB from the start of the disk"));
    if (region.detail) panel.append(element("p", region.detail, "dim"));
    if (set < 0) {
      panel.append(element("p", "Zero: takes no room in the store."));
      return;
    }
    const [count, sharers] = model.sets[set];
    panel.append(element("p", count === 1 ? model.uniqueLabel : "in " + count + " images:"));
    if (count > 1) panel.append(listOf(sharers.map((image) => model.images[image].title), count - sharers.length));
    const list = model.lists[region.lists[at]];
    if (!list) {
      panel.append(element("p", "No path has anything here.", "dim"));
      return;
    }
    const [pathCount, paths] = list;
    const what = region.kind === "inodes" ? " inodes, the first of them:" : " paths, the largest parts first:";
    panel.append(element("p", pathCount === 1 ? "one path:" : pathCount + what));
    panel.append(listOf(paths.map(([path, size]) => path + " (" + size + ")"), pathCount - paths.length));
  };
  const listOf = (texts, more) => {
    const list = element("ul");
    for (const text of texts) list.append(element("li", text));
    if (more > 0) list.append(element("li", "and " + more + " more", "dim"));
    return list;
  };
  const choose = (map, view, at) => {
    const palette = colours();
    for (const other of maps) {
      const old = other.cursor;
      other.cursor = null;
      if (old) drawSquare(other, old.view, old.at, palette);
    }
    map.cursor = { view, at };
    drawSquare(map, view, at, palette);
    tell(map, view, at);
  };

  // ---- pointer and keys
  const cellAt = (map, view, event) => {
    const box = view.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - 1) / map.pitch);
    const row = Math.floor((event.clientY - box.top - 1) / map.pitch);
    const at = row * view.columns + column;
    const isInside = column >= 0 && row >= 0 && column < view.columns && at < view.region.sets.length;
    return isInside ? at : -1;
  };
  // Scrolls so far that the square is between the legend and the panel, where that covers the window's end.
  const reveal = (map, view, at) => {
    const y = view.canvas.getBoundingClientRect().top + Math.floor(at / view.columns) * map.pitch;
    const top = document.getElementById("legend").offsetHeight + 2 * map.pitch;
    const cover = panel.getBoundingClientRect();
    const bottom = (cover.left === 0 ? cover.top : innerHeight) - 3 * map.pitch;
    if (y < top) scrollBy(0, y - top);
    else if (y > bottom) scrollBy(0, y - bottom);
  };
  const step = (map, key) => {
    const { view, at } = map.cursor || { view: map.regions[0], at: -1 };
    const last = map.regions.length - 1;
    const size = view.region.sets.length;
    const into = (number, place) => {
      const target = map.regions[Math.max(0, Math.min(last, number))];
      const end = target.region.sets.length - 1;
      return { view: target, at: Math.max(0, Math.min(end, place === "end" ? end : place)) };
    };
    const moveTo = (place) =>
      place < 0
        ? view.index === 0 ? into(0, 0) : into(view.index - 1, "end")
        : place >= size ? (view.index === last ? into(last, "end") : into(view.index + 1, 0)) : { view, at: place };
    switch (key) {
      case "ArrowLeft": return moveTo(at - 1);
      case "ArrowRight": return moveTo(at + 1);
      case "ArrowUp": return moveTo(at - view.columns);
      case "ArrowDown": return moveTo(at + view.columns);
      case "PageUp": return into(view.index - 1, 0);
      case "PageDown": return into(view.index + 1, 0);
      case "Home": return into(0, 0);
      case "End": return into(last, "end");
      default: return undefined;
    }
  };
  for (const map of maps) {
    for (const view of map.regions) {
      view.canvas.addEventListener("pointermove", (event) => {
        const at = cellAt(map, view, event);
        if (at < 0 || (map.cursor && map.cursor.view === view && map.cursor.at === at)) return;
        choose(map, view, at);
      });
    }
    map.holder.addEventListener("keydown", (event) => {
      if (map.regions.length === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
      const target = step(map, event.key);
      if (!target) return;
      event.preventDefault();
      choose(map, target.view, target.at);
      reveal(map, target.view, target.at);
    });
  }
  // Numbers stand to the right in their columns.
  for (const table of document.querySelectorAll("table")) {
    const rows = [...table.tBodies[0].rows];
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const isNumber = rows.every(({ cells }) => /^[\d.,]*( ([KMGT]i)?B)?$/.test(cells[column].textContent));
      if (isNumber && rows.length > 0) for (const { cells } of [table.tHead.rows[0], ...rows]) cells[column].className = "number";
    }
  }
  let isQueued = false;
  addEventListener("resize", () => {
    if (isQueued) return;
    isQueued = true;
    requestAnimationFrame(() => { isQueued = false; drawAll(); });
  });
  dark.addEventListener("change", drawAll);
  drawAll();
})();
`;
