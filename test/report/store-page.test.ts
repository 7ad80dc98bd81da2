import { truncate } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { tableChunkName } from "../../src/manifest/manifest.ts";
import { plainDigestOf } from "../../src/chunk/chunk.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { MAP_CELLS_MAX, MAP_IMAGES_MAX } from "../../src/report/chunk-maps.ts";
import { storePage } from "../../src/report/store-page.ts";
import { reportStore } from "../../src/report/store-report.ts";
import { chunkPath } from "../../src/store/chunk-writer.ts";
import { describeWith } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { ShownPage } from "./_page.ts";
import { convertAs, noise, openTestStore, type TestStore } from "./_store.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";

/** Names that would end a script, begin an element, turn the text, or are no text. */
const HOSTILE = [
  "</script><img src=x onerror=document.title='owned'>",
  "<!--",
  "\xe2\x80\xaegnp.exe",
  "\xff\xfe",
];

let place: TestStore;
let html: string;
let content: ManifestContent;
beforeAll(async () => {
  place = await openTestStore();
  const base = tarBuilder().file("shared", noise(1, 1_500_000));
  const own = tarBuilder().dir("own");
  for (const [index, name] of HOSTILE.entries())
    own.file(`own/${name.replaceAll("/", "\\")}`, noise(index, 9000));
  // So many directories that they have a chunk of their own.
  for (let i = 0; i < 128; i++) own.dir(`own/d${i}`);
  // A slash ends a name: the first part of this one is a directory.
  own.dir("own/<").file("own/</script><script>document.title='owned'<", noise(9, 9000));
  await convertAs(place, "base", [base.end()]);
  await place.store.putRef(
    place.keyring.customerId,
    "<b>base</b>",
    (await reportStore(place)).images[0]!.manifestId,
  );
  ({ content } = await convertAs(place, "own", [base.end(), own.end()]));
  html = await storePage(place, await reportStore(place));
});
afterAll(() => place.close());

test("a page of the same store is the same page", async () => {
  expect(await storePage(place, await reportStore(place))).toBe(html);
});

test("what keeps an image from being drawn is told with its name", async () => {
  const damaged = await openTestStore();
  onTestFinished(() => damaged.close());
  const made = await convertAs(damaged, "app", [tarBuilder().file("a", "a").end()]);
  const report = await reportStore(damaged);
  const name = tableChunkName(made.content, 0);
  await truncate(chunkPath(path.join(damaged.store.path, "roots/r0/chunks"), name), 1);
  await expect(storePage(damaged, report)).rejects.toMatchObject({
    code: "CHUNK_CORRUPT",
    message: expect.stringMatching(/^app: chunk /) as string,
  });
});

test("a page has names of files, but neither keys nor digests of plain chunks", async () => {
  expect(html).toContain("/shared");
  const device = new ImageDevice(place.store, content);
  const secrets = [Buffer.from(place.keyring.customerKey())];
  for (const [position, chunkIndex] of content.indexes.entries()) {
    secrets.push(Buffer.from(content.keys.subarray(position * 32, position * 32 + 32)));
    const plain = await device.readChunk(chunkIndex);
    if (plain !== undefined) secrets.push(Buffer.from(plainDigestOf(plain)));
  }
  expect(secrets.length).toBeGreaterThan(10);
  for (const secret of secrets) {
    for (const form of ["hex", "base64", "base64url"] as const) {
      expect(html).not.toContain(secret.toString(form).slice(0, 16));
    }
  }
  // What a store shows anyway may be there: the beginning of a chunk's name.
  expect(html).toContain(tableChunkName(content, 1).slice(0, 12));
});

test("images are drawn up to the limit of images, and the others counted", async () => {
  const many = await openTestStore();
  try {
    for (let image = 0; image <= MAP_IMAGES_MAX; image++) {
      await convertAs(many, `image-${image}`, [tarBuilder().file("f", `${image}`).end()]);
    }
    const page = await storePage(many, await reportStore(many));
    expect(page.match(/<section /g)?.length).toBe(MAP_IMAGES_MAX);
    expect(page).toContain(`images beyond the first ${MAP_IMAGES_MAX}`);
  } finally {
    await many.close();
  }
});

test.each([
  [MAP_CELLS_MAX, 1],
  [MAP_CELLS_MAX + 1, 0],
])("an image of %i squares makes %i maps", async (cells, mapCount) => {
  const wide = await openTestStore();
  try {
    const { content: small } = await convertAs(wide, "small", [tarBuilder().file("f", "x").end()]);
    await wide.store.removeRef(wide.keyring.customerId, "small");
    // Chunk 0, and a segment that takes all the rest.
    const segments = [{ firstChunk: 1, chunkCount: cells - 1 }];
    const large = { ...small, diskChunkCount: cells, image: { ...small.image, segments } };
    const view = { store: wide.store, keyring: wide.keyring };
    const manifestId = await wide.store.putManifest(
      wide.keyring.customerId,
      sealManifest(large, wide.keyring.customerKey()),
    );
    await wide.store.putRef(wide.keyring.customerId, "large", manifestId);
    const report = await reportStore(view);
    const page = await storePage(view, { ...report, images: report.images.slice(0, 1) });
    expect(page.match(/<section /g)?.length ?? 0).toBe(mapCount);
  } finally {
    await wide.close();
  }
});

describeWith(["chromium"], "in a browser", () => {
  let page: ShownPage;
  beforeAll(async () => {
    page = await ShownPage.show(html, path.join(place.directory, "page"));
  });
  afterAll(() => page.close());

  test("it draws every image, and asks the network for nothing", async () => {
    expect(await page.ask('[...document.querySelectorAll("h2")].map((title) => title.textContent)')).toEqual([
      "<b>base</b> (also base)",
      "own",
    ]);
    expect(await page.ask("document.title")).toBe("Chunks of the store");
    expect(await page.ask('document.querySelectorAll("img, main b:not(.region b)").length')).toBe(0);
    expect(await page.ask('document.querySelectorAll("script").length')).toBe(2);
    page.expectQuiet();
  });

  test("colours tell what is shared from what is not", async () => {
    const orange = "#d9480f";
    // Regions: superblock, the base layer's files, …
    expect((await page.colours(0, 1))[0]).not.toBe(orange);
    const regions = (await page.ask(
      '[...document.querySelectorAll(".map")[1].querySelectorAll(".region b")].map((name) => name.textContent)',
    )) as string[];
    expect(regions).toEqual(["superblock", "layer 1 files", "layer 2 files", "directories", "inode tables"]);
    expect((await page.colours(1, 1))[0]).toBe((await page.colours(0, 1))[0]);
    expect(await page.colours(1, 2)).toEqual([orange]);
    // Metadata: a square with a hole.
    expect((await page.colours(1, 3)).slice(0, 2)).toEqual([orange, "#fcfcfb"]);
  });

  test("pointing at a square tells what it holds", async () => {
    await page.pointAt(0, 1, { column: 1, row: 0 });
    expect(await page.panel()).toEqual([
      "Chunk 2",
      "<b>base</b> (also base)",
      "layer 1 files, 1 MiB from the start of the disk",
      content.image.layerDiffIds[0],
      "in 2 images:",
      "<b>base</b> (also base)",
      "own",
      "one path:",
      "/shared (512 KiB)",
    ]);
    await page.pointAt(1, 2, { column: 0, row: 0 });
    const panel = (await page.panel()).join("\n");
    expect(panel).toContain("in this image only");
    expect(panel).toContain("/own/<!-- (12.0 KiB)");
    expect(panel).toContain("/own/</script><script>document.title='owned'< (12.0 KiB)");
    expect(panel).toContain("/own/\\xe2\\x80\\xaegnp.exe");
    expect(panel).toContain("/own/\\xff\\xfe");
    expect(await page.ask("document.title")).toBe("Chunks of the store");
    page.expectQuiet();
  });

  test("the keyboard reaches every chunk", async () => {
    await page.ask('document.querySelectorAll(".map")[1].focus()');
    await page.press("Home");
    expect((await page.panel())[0]).toBe("Chunk 0");
    const visited = new Set<string | undefined>();
    const cells = (await page.ask(
      'JSON.parse(document.getElementById("maps").textContent).images[1].regions.flatMap(({ sets }) => sets).length',
    )) as number;
    for (let step = 0; step < cells; step++) {
      visited.add((await page.panel())[0]);
      await page.press("ArrowRight");
    }
    expect(visited.size).toBe(cells);
    await page.press("Home", "PageDown", "PageDown");
    expect((await page.panel())[2]).toMatch(/^layer 2 files/);
    await page.press("ArrowUp");
    expect((await page.panel())[2]).toMatch(/^layer 1 files/);
    await page.press("End", "ArrowRight", "ArrowDown");
    expect((await page.panel())[2]).toMatch(/^inode tables/);
    expect((await page.panel())[3]).toBe("Zero: takes no room in the store.");
    page.expectQuiet();
  });

  test("the tables are there without the script", async () => {
    const rows = await page.ask(
      '[...document.querySelectorAll("details table tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent))',
    );
    expect(rows).toContainEqual(["layer 1 files", "1", "3", "0", "0", "3"]);
    expect(html.slice(0, html.indexOf("<script"))).toContain("<td>layer 1 files</td>");
  });
});

describeWith(["chromium"], "in a dark and narrow browser", () => {
  test("it has other colours, and does not scroll sideways", async () => {
    const options = { scheme: "dark", width: 400, height: 800 } as const;
    const page = await ShownPage.show(html, path.join(place.directory, "dark"), options);
    try {
      expect(await page.colours(1, 2)).toEqual(["#ff8a3d"]);
      expect(await page.ask("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(await page.ask("getComputedStyle(document.body).backgroundColor")).toBe("rgb(22, 24, 26)");
      expect((await page.screenshot()).length).toBeGreaterThan(1000);
      page.expectQuiet();
    } finally {
      await page.close();
    }
  });
});
