import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { diffPage } from "../../src/report/diff-page.ts";
import { diffImages } from "../../src/report/image-diff.ts";
import { describeWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { ShownPage } from "./_page.ts";
import { convertAs, noise, openTestStore, type TestStore } from "./_store.ts";

let place: TestStore;
let html: string;
beforeAll(async () => {
  place = await openTestStore();
  const base = tarBuilder().file("shared", noise(1, 1_500_000)).end();
  const { content: before } = await convertAs(place, "a", [
    base,
    tarBuilder().file("f", noise(2, 9000)).end(),
  ]);
  const { content: after } = await convertAs(place, "b", [
    base,
    tarBuilder().file("f", noise(3, 9000)).end(),
  ]);
  const input = { store: place.store, before, after, pathCountMax: 10 };
  html = await diffPage({ ...input, names: { before: "<i>a", after: "b" } }, await diffImages(input));
});
afterAll(() => place.close());

test("the tables say what the second image costs, and which paths do", () => {
  expect(html).toContain("<title>&lt;i&gt;a and b</title>");
  expect(html).toContain("<dd>512 KiB in 1 chunks</dd>");
  expect(html).toContain("<td>layer 1 files (layer of the first, too)</td><td>3</td><td>0</td>");
  expect(html).toContain("<td>layer 2 files</td><td>1</td><td>1</td><td>512 KiB</td><td>0</td><td>1</td>");
  expect(html).toContain("<td>12.0 KiB</td><td>8.79 KiB</td><td>1</td><td>changed</td><td>/f</td>");
});

describeWith(["chromium"], "in a browser", () => {
  test("both images are drawn, and chunks of one alone stand out", async () => {
    const page = await ShownPage.show(html, path.join(place.directory, "page"));
    try {
      expect(
        await page.ask('[...document.querySelectorAll("h2")].map((title) => title.textContent)'),
      ).toEqual(["before: <i>a", "after: b"]);
      for (const image of [0, 1]) {
        expect(await page.colours(image, 2)).toEqual(["#d9480f"]);
        expect(await page.colours(image, 1)).not.toContain("#d9480f");
      }
      await page.pointAt(1, 2, { column: 0, row: 0 });
      expect(await page.panel()).toEqual(
        expect.arrayContaining(["after: b", "in one image only", "one path:", "/f (12.0 KiB)"]),
      );
      page.expectQuiet();
    } finally {
      await page.close();
    }
  });
});
