import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { STATUS_PAGE, STATUS_PAGE_POLICY } from "../../src/serve/status-page.ts";
import { StatusServer } from "../../src/serve/status-server.ts";
import { Browser, type PageOptions } from "../support/browser.ts";
import { describeWith } from "../support/judge.ts";
import { countReads, noCounts, type TestCounts } from "./_counts.ts";

const WIDE: PageOptions = { scheme: "light", width: 1280, height: 1100 };

/** The content of the only element of a name. */
function only(name: string): string {
  const found = [...STATUS_PAGE.matchAll(new RegExp(`<${name}[^>]*>([^]*?)</${name}>`, "g"))];
  expect(found.length).toBe(1);
  return found[0]?.[1] ?? "";
}

test("the policy allows the page's own script, style and server, and nothing else", () => {
  const digest = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  expect(STATUS_PAGE_POLICY.split("; ")).toEqual([
    "default-src 'none'",
    `script-src ${digest(only("script"))}`,
    `style-src ${digest(only("style"))}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]);
});

test("the page names nothing outside of itself", () => {
  const names = [...STATUS_PAGE.matchAll(/\b(?:src|href|action)\s*=\s*"([^"]*)"|@import|url\(/g)];
  expect(names.map(([, name]) => name)).toEqual(["data:,", "metrics"]);
  // What is drawn has to say that it is SVG.
  expect(STATUS_PAGE.match(/https?:[^"]*/g)).toEqual(["http://www.w3.org/2000/svg"]);
  expect(STATUS_PAGE).not.toMatch(/innerHTML|insertAdjacent|document\.write|eval|cookie|Storage/);
});

interface Shown {
  readonly browser: Browser;
  readonly counts: TestCounts;
  readonly server: StatusServer;
  readonly address: string;
}

async function show(options: PageOptions, { readCount = 2000 } = {}): Promise<Shown> {
  const counts = noCounts();
  countReads(counts, readCount);
  const server = new StatusServer({ counts, onProblem: () => undefined });
  const { port } = await server.listenTcp({ host: "127.0.0.1", port: 0 });
  const browser = await Browser.start();
  const address = `http://127.0.0.1:${port}/`;
  await browser.open(address, options);
  return { browser, counts, server, address };
}

async function hide({ browser, server }: Shown): Promise<void> {
  await browser.close();
  await server.close();
}

/** Resolves when an expression holds in the page, whenever the page changes. */
async function until(browser: Browser, expression: string): Promise<void> {
  await browser.evaluate(`new Promise((resolve) => {
    const look = () => { if (${expression}) { observer.disconnect(); resolve(); } };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  })`);
}

const isLive = `document.getElementById("state").textContent.startsWith("live")`;

/** The rows of a table, its head left out. */
async function rows(browser: Browser, id: string): Promise<string[][]> {
  const cells = "[...row.cells].map((cell) => cell.textContent)";
  return (await browser.evaluate(
    `[...document.getElementById("${id}").tBodies[0].rows].map((row) => ${cells})`,
  )) as string[][];
}

/** Styles of the curves of a chart, and their corners in the chart's pixels. */
async function curves(browser: Browser, id: string): Promise<{ style: string; path: string }[]> {
  const list = `[...document.querySelectorAll("#${id} .curve")]`;
  return (await browser.evaluate(
    `${list}.map((curve) => ({ style: curve.getAttribute("class"), path: curve.getAttribute("d") }))`,
  )) as { style: string; path: string }[];
}

/** Where a step curve is at a height: the x of the first upright line that reaches it. */
function crossing(path: string, part: number): number {
  const [start, ...steps] = [...path.matchAll(/([MHV])([0-9.]+)(?: ([0-9.]+))?/g)];
  const bottom = Number(start?.[3]);
  const heights = steps.filter(([, letter]) => letter === "V").map(([, , y]) => Number(y));
  const top = Math.min(...heights);
  let x = Number(start?.[2]);
  for (const [, letter, value] of steps) {
    if (letter === "H") x = Number(value);
    else if (Number(value) <= bottom - part * (bottom - top)) return x;
  }
  return Number.NaN;
}

describeWith(["chromium"], "in a browser", () => {
  let shown: Shown;
  beforeAll(async () => {
    shown = await show(WIDE);
    await until(shown.browser, isLive);
  });
  afterAll(() => hide(shown));

  test("the tables have what was counted", async () => {
    const { browser } = shown;
    expect((await rows(browser, "tiers")).map((row) => row.slice(0, 7))).toEqual([
      ["memory", "1 500", "500", "0", "0", "75.0 %", "750 MiB"],
      ["disk", "400", "100", "0", "0", "80.0 %", "200 MiB"],
      ["store", "100", "0", "0", "0", "100.0 %", "50 MiB"],
    ]);
    const [memory, disk, store] = await rows(browser, "latencies");
    expect(memory?.slice(0, 2)).toEqual(["memory", "1 500"]);
    expect([memory?.[2], disk?.[2], store?.[2]]).toEqual([
      expect.stringMatching(/^\d(\.\d+)? µs$/),
      expect.stringMatching(/^\d{3} µs$/),
      expect.stringMatching(/^\d{2}(\.\d)? ms$/),
    ]);
    expect((await rows(browser, "commands")).map((row) => row.slice(0, 4))).toEqual([
      ["read", "2 000", "0", "7.81 MiB"],
    ]);
  });

  test("the distribution has a curve for clients and one for each tier, in their places on a logarithmic axis", async () => {
    const drawn = await curves(shown.browser, "distribution");
    expect(drawn.map(({ style }) => style)).toEqual([
      "curve all",
      "curve memory",
      "curve disk",
      "curve store",
    ]);
    const [all = "", memory = "", disk = "", store = ""] = drawn.map(({ path }) => path);
    const medians = [memory, disk, store].map((path) => crossing(path, 0.5));
    // The medians of the tiers are as 1 to 150 to 10,000: distances on the axis are as their logarithms.
    const [first = 0, second = 0, third = 0] = medians;
    expect((third - second) / (second - first)).toBeCloseTo(
      Math.log10(20_000 / 300) / Math.log10(300 / 2),
      1,
    );
    // Clients wait 50 µs more. Three quarters of their reads are from memory, a fifth from disk: three modes.
    const placeOf = (seconds: number): number =>
      first + ((second - first) * Math.log(seconds / 5.88e-6)) / Math.log(150);
    expect(Math.abs(crossing(all, 0.375) - placeOf(5.6e-5))).toBeLessThan(4);
    expect(Math.abs(crossing(all, 0.85) - placeOf(9.3e-4))).toBeLessThan(4);
    expect(Math.abs(crossing(all, 0.975) - placeOf(5.9e-2))).toBeLessThan(4);
  });

  test("it goes on by itself: rates come from what is counted between two reports", async () => {
    const { browser, counts } = shown;
    counts.uptimeSeconds += 2;
    counts.lookups.looked({ tier: "memory", outcome: "hit", seconds: 1e-6, sizeBytes: 4 * 1024 * 1024 });
    counts.lookups.looked({ tier: "memory", outcome: "miss", seconds: 1e-6, sizeBytes: 0 });
    counts.requests.requestBegan();
    counts.queued = { running: 16, waiting: 3 };
    await until(browser, `document.getElementById("tiers").rows[1].cells[1].textContent === "1 501"`);
    expect((await rows(browser, "tiers"))[0]?.[7]).toBe("2 MiB/s");
    expect(await rows(browser, "depths")).toEqual([
      ["NBD requests under way", "1"],
      ["NBD connections", "0"],
      ["chunk loads under way", "16"],
      ["chunk loads that wait for their turn", "3"],
    ]);
    // The top of the axis is 20.
    const heights = (await curves(browser, "queues")).map(({ style, path }) => [
      style,
      Number(/([0-9.]+)(?:h1.5)?$/.exec(path)?.[1]),
    ]);
    expect(heights).toEqual([
      ["curve memory", 208],
      ["curve disk", expect.closeTo(208 - (198 * 16) / 20, 0)],
      ["curve store", expect.closeTo(208 - (198 * 3) / 20, 0)],
      ["curve all", expect.closeTo(208 - 198 / 20, 0)],
    ]);
    const [memory, disk] = await curves(browser, "rates");
    // Half of its lookups were hits: in the middle of the chart. The disk was not asked: no curve.
    expect(Number(/^M[0-9.]+ ([0-9.]+)/.exec(memory?.path ?? "")?.[1])).toBeCloseTo(109, 0);
    expect(disk?.path).toBe("");
  });

  test("the keyboard reaches the button and every table; pausing stops the questions", async () => {
    const { browser } = shown;
    const reached = await browser.evaluate(
      `[...document.querySelectorAll("button, a[href], [tabindex='0']")].map((each) => each.id || each.getAttribute("aria-labelledby"))`,
    );
    expect(reached).toEqual([
      "pause",
      "tiers-caption",
      "latencies-caption",
      "depths-caption",
      "commands-caption",
    ]);
    await browser.evaluate(`document.getElementById("pause").focus()`);
    await browser.press(" ");
    await until(browser, `document.getElementById("state").textContent === "paused"`);
    expect(await browser.evaluate(`document.getElementById("pause").textContent`)).toBe("Go on");
    // A question under way may still end. A timer that was still running would end before this one, which begins later.
    const asked = browser.requests.length;
    await browser.evaluate("new Promise((resolve) => { setTimeout(resolve, 1000); })");
    expect(browser.requests.length).toBe(asked);
    expect(await browser.evaluate(`document.getElementById("state").textContent`)).toBe("paused");
    await browser.press(" ");
    await until(browser, isLive);
  });

  test("it asks for nothing but its own numbers, and neither script nor policy complains", () => {
    const { browser, address } = shown;
    const [page, ...others] = browser.requests.filter((url) => !url.startsWith("data:"));
    expect(page).toBe(address);
    expect(new Set(others)).toEqual(new Set([`${address}status.json`]));
    expect(browser.complaints).toEqual([]);
  });
});

describeWith(["chromium"], "in a browser, too,", () => {
  test("dark and as narrow as a phone, it has other colours and does not scroll sideways", async () => {
    const shown = await show({ scheme: "dark", width: 380, height: 800 });
    onTestFinished(() => hide(shown));
    const { browser } = shown;
    await until(browser, isLive);
    expect(await browser.evaluate("getComputedStyle(document.body).backgroundColor")).toBe("rgb(22, 24, 26)");
    expect(await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    const stroke = `getComputedStyle(document.querySelector("#distribution .memory")).stroke`;
    expect(await browser.evaluate(stroke)).toBe("rgb(108, 178, 255)");
    expect((await browser.screenshot()).length).toBeGreaterThan(1000);
    expect(browser.complaints).toEqual([]);
  });

  test("before the first read it says that there is nothing", async () => {
    const shown = await show(WIDE, { readCount: 0 });
    onTestFinished(() => hide(shown));
    const { browser } = shown;
    await until(browser, isLive);
    expect(await browser.evaluate(`document.querySelector("#distribution .empty").textContent`)).toBe(
      "nothing was read yet",
    );
    expect((await rows(browser, "latencies"))[0]).toEqual(["memory", "0", "-", "-", "-", "-"]);
    expect(await rows(browser, "commands")).toEqual([]);
    expect(browser.complaints).toEqual([]);
  });

  test("a server that goes away is said, and the last numbers stay", async () => {
    const shown = await show(WIDE);
    onTestFinished(() => hide(shown));
    const { browser, server } = shown;
    await until(browser, isLive);
    await server.close();
    await until(browser, `document.getElementById("state").className === "broken"`);
    expect((await rows(browser, "tiers"))[0]?.[1]).toBe("1 500");
  });
});
