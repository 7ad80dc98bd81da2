/** Charts put numbers where they belong, and are SVG that a browser takes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { run, testWith } from "../support/judge.ts";
import { drawChart, drawRows, makeScale } from "./_chart.mjs";

const AROUND = { median: 3, min: 2, max: 5 };

function chart(isLog: boolean): string {
  return drawChart({
    title: "Time & <bytes>",
    notes: ['a "machine"'],
    x: { label: "GiB", isLog },
    y: { label: "seconds", isLog },
    series: [
      {
        name: "wall",
        points: [0.1, 1, 10].map((x) => ({ x, y: { median: 2 * x, min: x, max: 3 * x } })),
        line: [
          { x: 0.1, y: 0.2 },
          { x: 10, y: 20 },
        ],
      },
      { name: "CPU", points: [{ x: 1, y: AROUND }] },
    ],
  });
}

function rows(): string {
  return drawRows({
    title: "Rows",
    label: "MB/s",
    columns: ["one", "two", "three", "four"],
    rows: [
      { name: "gzip -dc | sha256sum", values: [AROUND, AROUND, AROUND, AROUND] },
      { name: "left out", values: [AROUND, undefined] },
    ],
  });
}

/** Centres of the full marks, in the order of the text. */
function centres(svg: string): { x: number; y: number }[] {
  return [...svg.matchAll(/<circle class="mark" cx="([\d.-]+)" cy="([\d.-]+)"/g)].map(([, x, y]) => ({
    x: Number(x),
    y: Number(y),
  }));
}

describe("a scale", () => {
  test.each([
    [[0, 7], false, [0, 2, 4, 6, 8]],
    [[13], false, [0, 5, 10, 15]],
    [[0.3, 0.9], false, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [[0], false, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [[0.1, 10], true, [0.1, 0.2, 0.5, 1, 2, 5, 10]],
    [[1000, 1_000_000], true, [1000, 2000, 5000, 10_000, 20_000, 50_000, 1e5, 2e5, 5e5, 1e6]],
    [[1, 100_000], true, [1, 10, 100, 1000, 10_000, 100_000]],
    [[3, 4], true, [2, 5]],
    [[5], true, [2, 5]],
  ])("for %j (logarithmic: %s) has marks at %j", (numbers, isLog, marks) => {
    const { ticks } = makeScale(numbers, { isLog }, [0, 1]);
    expect(ticks.map((tick) => Number(tick.toPrecision(9)))).toEqual(marks);
  });

  test("covers its numbers, keeps their order and gives its ends to the last marks", () => {
    const values = fc.array(fc.double({ min: 1e-3, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(values, fc.boolean(), (numbers, isLog) => {
        const scale = makeScale(numbers, { isLog }, [100, 700]);
        expect(scale.place(scale.ticks[0]!)).toBeCloseTo(100, 6);
        expect(scale.place(scale.ticks.at(-1)!)).toBeCloseTo(700, 6);
        const sorted = [...numbers].sort((left, right) => left - right).map((value) => scale.place(value));
        for (const [index, pixels] of sorted.entries()) {
          expect(pixels).toBeGreaterThanOrEqual(100 - 0.01);
          expect(pixels).toBeLessThanOrEqual(700 + 0.01);
          expect(pixels).toBeGreaterThanOrEqual(sorted[index - 1] ?? 0);
        }
      }),
    );
  });
});

describe("a chart", () => {
  test("puts equal ratios at equal distances on logarithmic axes", () => {
    const [first, second, third] = centres(chart(true));
    expect(second!.x - first!.x).toBeCloseTo(third!.x - second!.x, 0);
    expect(first!.y - second!.y).toBeCloseTo(second!.y - third!.y, 0);
  });

  test("puts equal differences at equal distances on plain axes, and more higher up", () => {
    const [first, second, third] = centres(chart(false));
    expect((third!.x - second!.x) / (second!.x - first!.x)).toBeCloseTo(10, 0);
    expect((second!.y - third!.y) / (first!.y - second!.y)).toBeCloseTo(10, 0);
    expect(third!.y).toBeLessThan(first!.y);
  });

  test("is the same text each time", () => {
    expect(chart(true)).toBe(chart(true));
  });

  test("names its axes with their units, and its series where there are several", () => {
    const texts = [...chart(true).matchAll(/<text[^>]*>([^<]*)</g)].map(([, words]) => words);
    expect(texts).toEqual(
      expect.arrayContaining(["GiB", "seconds", "wall", "CPU", "Time &amp; &lt;bytes&gt;"]),
    );
  });

  test("has colours for light and for dark pages, and a ground of its own", () => {
    expect(chart(true)).toContain("@media (prefers-color-scheme: dark)");
    expect(chart(true)).toContain('<rect class="page"');
  });
});

test("rows tell their columns apart by shape, not by colour alone", () => {
  const shapes = [0, 1, 2, 3].map((index) => {
    const mark = new RegExp(`<g class="s${index}">(?:<line[^>]*>)*(<[^>]*>)`).exec(rows())![1]!;
    return mark.replace(/ (?:[xy]|c[xy]|d)="[^"]*"/g, "");
  });
  expect(new Set(shapes).size).toBe(4);
});

test("rows leave out what has no value", () => {
  expect(centres(rows())).toHaveLength(3); // The legend's mark, and one in each row.
  expect([...rows().matchAll(/class="spread"/g)]).toHaveLength(5);
});

describe("drawings are XML that another parser reads", () => {
  testWith(["python3"], "with all their text in it", async () => {
    const program =
      "import sys, xml.etree.ElementTree as t\n" +
      "for text in sys.argv[1:]: print('|'.join(e.text or '' for e in t.fromstring(text).iter('{http://www.w3.org/2000/svg}text')))";
    const said = await run("python3", ["-c", program, chart(true), rows()]);
    expect(said).toContain("Time & <bytes>|");
    expect(said).toContain('a "machine"');
    expect(said).toContain("gzip -dc | sha256sum");
  });
});
