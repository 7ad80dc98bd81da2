/**
 * The script of the status page: asks for `/status.json` once a second while it is seen, keeps five minutes of it, and
 * draws them. What it is told is numbers and names from fixed lists, and all of it becomes text nodes.
 */
export const STATUS_PAGE_SCRIPT: string = String.raw`
"use strict";
(() => {
  const PERIOD_MS = 1000;
  const HISTORY_SECONDS = 300;
  const HEIGHT = 230;
  const MARGIN = { top: 10, right: 12, bottom: 22, left: 58 };
  const TIERS = ["memory", "disk", "store"];
  const byId = (id) => document.getElementById(id);

  // ---- numbers as people read them
  const digits = (value) => (value >= 100 || value === Math.round(value) ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
  const showCount = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, " ");
  const showBytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
    return digits(value) + " " + units[unit];
  };
  const showSeconds = (value) => {
    if (value === null) return "-";
    if (value < 1e-6) return digits(value * 1e9) + " ns";
    if (value < 1e-3) return digits(Number((value * 1e6).toPrecision(3))) + " \u00b5s";
    if (value < 1) return digits(Number((value * 1e3).toPrecision(3))) + " ms";
    return digits(value) + " s";
  };
  const showPart = (value) => (value === null ? "-" : (100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 1) + " %");
  const showAge = (value) => {
    const seconds = Math.floor(value);
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor((seconds % 3600) / 60);
    return hours > 0 ? hours + " h " + minutes + " min" : minutes > 0 ? minutes + " min " + (seconds % 60) + " s" : seconds + " s";
  };

  // ---- what is known: the last report, and rates between one report and the next
  let last = null;
  let samples = [];
  const lookupsOf = ({ lookups }) => lookups.hit + lookups.miss + lookups.corrupt + lookups.failed;
  const tierOf = (report, name) => report.tiers.find(({ tier }) => tier === name);
  const readsOf = (report) => report.commands.find(({ command }) => command === "read");
  const take = (report) => {
    const seconds = last === null ? 0 : report.uptimeSeconds - last.uptimeSeconds;
    // Another server answers at the same place: its numbers begin anew.
    if (seconds < 0) samples = [];
    if (seconds > 0) {
      const sample = { at: report.uptimeSeconds, rates: {}, bytes: {}, queues: {} };
      for (const name of TIERS) {
        const now = tierOf(report, name);
        const before = tierOf(last, name);
        const asked = lookupsOf(now) - lookupsOf(before);
        sample.rates[name] = asked === 0 ? null : (now.lookups.hit - before.lookups.hit) / asked;
        sample.bytes[name] = (now.foundBytes - before.foundBytes) / seconds;
      }
      sample.bytes.all = (readsOf(report).payloadBytes - readsOf(last).payloadBytes) / seconds;
      for (const { key, value } of queuesOf(report)) sample.queues[key] = value;
      samples.push(sample);
      samples = samples.filter(({ at }) => at >= sample.at - HISTORY_SECONDS);
    }
    last = report;
  };
  const queuesOf = (report) => [
    { key: "all", name: "NBD requests under way", value: report.requestsRunning },
    { key: "memory", name: "NBD connections", value: report.connections.open },
    { key: "disk", name: "chunk loads under way", value: report.loads.running },
    { key: "store", name: "chunk loads that wait for their turn", value: report.loads.waiting },
  ];

  // ---- charts
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const frame = (holder, { xTicks, yTicks }) => {
    const width = Math.max(200, holder.clientWidth);
    const drawing = svg("svg", { viewBox: "0 0 " + width + " " + HEIGHT, "aria-hidden": "true" });
    const x = (part) => MARGIN.left + part * (width - MARGIN.left - MARGIN.right);
    const y = (part) => HEIGHT - MARGIN.bottom - part * (HEIGHT - MARGIN.top - MARGIN.bottom);
    for (const { part, text } of yTicks) {
      drawing.append(svg("path", { class: "grid", d: "M" + x(0) + " " + y(part) + "H" + x(1) }));
      drawing.append(svg("text", { x: x(0) - 7, y: y(part) + 4, "text-anchor": "end" }, text));
    }
    for (const { part, text } of xTicks) {
      drawing.append(svg("path", { class: "grid", d: "M" + x(part) + " " + y(0) + "v4" }));
      const anchor = part > 0.97 ? "end" : "middle";
      drawing.append(svg("text", { x: x(part), y: HEIGHT - 5, "text-anchor": anchor }, text));
    }
    holder.replaceChildren(drawing);
    return { drawing, x, y, width };
  };
  const sayEmpty = ({ drawing, x, y }, text) => drawing.append(svg("text", { class: "empty", x: x(0.5), y: y(0.5), "text-anchor": "middle" }, text));
  /** 1, 2 or 5 times a power of the base's thousand. */
  const niceTop = (value, base) => {
    if (!(value > 0)) return base === 1024 ? 1024 : 4;
    let unit = 1;
    while (value / unit >= base) unit *= base;
    const rest = value / unit;
    const steps = [1, 2, 4, 5, 10, 20, 40, 50, 100, 200, 400, 500, base];
    return unit * steps.find((step) => step >= rest);
  };
  const curve = (points) => {
    let path = "";
    let isDown = false;
    points.forEach(([x, y], at) => {
      if (y === null) isDown = false;
      else {
        // A point between two gaps is drawn as a short line, or nobody would see it.
        const isAlone = !isDown && (at + 1 === points.length || points[at + 1][1] === null);
        path += (isDown ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1) + (isAlone ? "h1.5" : "");
        isDown = true;
      }
    });
    return path;
  };
  const drawTime = (id, { keys, valueOf, top, show }) => {
    const ticks = [0, 0.25, 0.5, 0.75, 1];
    const shown = frame(byId(id), {
      xTicks: [0, 1, 2, 3, 4, 5].map((minute) => ({ part: minute / 5, text: minute === 5 ? "now" : "-" + (5 - minute) + " min" })),
      yTicks: ticks.map((part) => ({ part, text: show(part * top) })),
    });
    if (samples.length === 0) return sayEmpty(shown, "waiting for a second report");
    const end = samples[samples.length - 1].at;
    for (const key of keys) {
      const points = samples.map((sample) => {
        const value = valueOf(sample, key);
        const x = shown.x(1 - (end - sample.at) / HISTORY_SECONDS);
        return [x, value === null ? null : shown.y(Math.min(1, value / top))];
      });
      shown.drawing.append(svg("path", { class: "curve " + key, d: curve(points) }));
    }
  };
  const most = (values) => values.reduce((max, value) => Math.max(max, value || 0), 0);

  const drawDistribution = () => {
    const shown = last === null ? [] : [{ key: "all", points: readsOf(last).latency.distribution }, ...TIERS.map((name) => ({ key: name, points: tierOf(last, name).latency.distribution }))].filter(({ points }) => points.length > 0);
    const all = shown.flatMap(({ points }) => points.map(([seconds]) => seconds));
    const low = Math.floor(Math.log10(all.reduce((min, value) => Math.min(min, value), 1e-5)) + 1e-9);
    const high = Math.max(low + 1, Math.ceil(Math.log10(all.reduce((max, value) => Math.max(max, value), 1e-2)) - 1e-9));
    // Where the window is narrow not every decade has room for its name.
    const stride = Math.ceil((64 * (high - low)) / Math.max(200, byId("distribution").clientWidth - MARGIN.left));
    const decades = Array.from({ length: high - low + 1 }, (_, at) => at).filter((at) => at % stride === 0);
    const view = frame(byId("distribution"), {
      xTicks: decades.map((at) => ({ part: at / (high - low), text: showSeconds(Number("1e" + (low + at))) })),
      yTicks: [0, 0.25, 0.5, 0.75, 1].map((part) => ({ part, text: 100 * part + " %" })),
    });
    if (shown.length === 0) return sayEmpty(view, "nothing was read yet");
    for (const { key, points } of shown) {
      const total = points[points.length - 1][1];
      let path = "";
      points.forEach(([seconds, count], at) => {
        const x = view.x((Math.log10(seconds) - low) / (high - low)).toFixed(1);
        if (at === 0) path += "M" + x + " " + view.y(0).toFixed(1);
        path += "H" + x + "V" + view.y(count / total).toFixed(1);
      });
      view.drawing.append(svg("path", { class: "curve " + key, d: path + "H" + view.x(1).toFixed(1) }));
    }
  };

  const drawAll = () => {
    drawTime("rates", { keys: TIERS, valueOf: ({ rates }, key) => rates[key], top: 1, show: (value) => 100 * value + " %" });
    const bytesTop = niceTop(most(samples.flatMap(({ bytes }) => Object.values(bytes))), 1024);
    drawTime("bytes", { keys: [...TIERS, "all"], valueOf: ({ bytes }, key) => bytes[key], top: bytesTop, show: showBytes });
    const queueTop = Math.max(4, niceTop(most(samples.flatMap(({ queues }) => Object.values(queues))), 1000));
    drawTime("queues", { keys: [...TIERS, "all"], valueOf: ({ queues }, key) => queues[key], top: queueTop, show: digits });
    drawDistribution();
  };

  // ---- the same as text
  const setCells = (id, rows) => {
    const body = byId(id).tBodies[0];
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((texts, at) => {
      const row = body.rows[at] || body.insertRow();
      texts.forEach((text, column) => {
        let cell = row.cells[column];
        if (!cell) {
          cell = row.appendChild(document.createElement(column === 0 ? "th" : "td"));
          if (column === 0) cell.scope = "row";
        }
        if (cell.textContent !== text) cell.textContent = text;
      });
    });
  };
  const setText = (id, text) => {
    if (byId(id).textContent !== text) byId(id).textContent = text;
  };
  const tell = () => {
    const { tiers, loads, connections, commands } = last;
    const sample = samples[samples.length - 1];
    setText("uptime", showAge(last.uptimeSeconds));
    setText("verified", showCount(loads.loaded));
    setText("corrupt", showCount(tiers.reduce((sum, { lookups }) => sum + lookups.corrupt, 0)));
    setText("failing", showCount(loads.failing));
    setText("connections", showCount(connections.open));
    setText("resident", showBytes(last.residentBytes));
    setCells("tiers", tiers.map((each) => [
      each.tier, showCount(each.lookups.hit), showCount(each.lookups.miss), showCount(each.lookups.corrupt), showCount(each.lookups.failed),
      showPart(lookupsOf(each) === 0 ? null : each.lookups.hit / lookupsOf(each)), showBytes(each.foundBytes),
      sample ? showBytes(sample.bytes[each.tier]) + "/s" : "-", showCount(each.fills.stored), showCount(each.fills.failed),
    ]));
    setCells("latencies", tiers.map(({ tier, latency }) => [
      tier, showCount(latency.count), showSeconds(latency.p50Seconds), showSeconds(latency.p90Seconds), showSeconds(latency.p99Seconds),
      showSeconds(latency.count === 0 ? null : latency.sumSeconds / latency.count),
    ]));
    setCells("depths", queuesOf(last).map(({ name, value }) => [name, showCount(value)]));
    setCells("commands", commands.filter(({ ok, error }) => ok + error > 0).map(({ command, ok, error, payloadBytes, latency }) => [
      command.replace("_", " "), showCount(ok), showCount(error), showBytes(payloadBytes),
      showSeconds(latency.p50Seconds), showSeconds(latency.p90Seconds), showSeconds(latency.p99Seconds),
    ]));
  };

  // ---- asking, again and again
  let isPaused = false;
  let isAsking = false;
  let timer;
  const say = (text, isBroken) => {
    setText("state", text);
    byId("state").className = isBroken ? "broken" : "";
  };
  const ask = async () => {
    clearTimeout(timer);
    if (isPaused || isAsking || document.hidden) return;
    isAsking = true;
    try {
      const response = await fetch("status.json", { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(10_000) });
      if (!response.ok) throw new Error("status " + response.status);
      const report = await response.json();
      if (isPaused) return;
      take(report);
      say("live, once a second", false);
      tell();
      drawAll();
    } catch {
      if (!isPaused) say("the server does not answer; the last numbers stay", true);
    } finally {
      isAsking = false;
    }
    if (!isPaused) timer = setTimeout(ask, PERIOD_MS);
  };
  byId("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    byId("pause").textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) {
      clearTimeout(timer);
      say("paused", false);
    } else void ask();
  });
  document.addEventListener("visibilitychange", () => void ask());
  let isQueued = false;
  addEventListener("resize", () => {
    if (isQueued) return;
    isQueued = true;
    requestAnimationFrame(() => {
      isQueued = false;
      drawAll();
    });
  });
  drawAll();
  void ask();
})();
`;
