/** Shows a page in headless Chromium, and asks what a user would see of it. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { expect } from "vitest";

import { Browser, type PageOptions } from "../support/browser.ts";

/** A shown page. Close it. */
export class ShownPage {
  readonly #browser: Browser;
  readonly #address: string;

  private constructor(browser: Browser, address: string) {
    this.#browser = browser;
    this.#address = address;
  }

  static async show(html: string, folder: string, options: Partial<PageOptions> = {}): Promise<ShownPage> {
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, "page.html");
    writeFileSync(file, html);
    const browser = await Browser.start();
    const address = pathToFileURL(file).href;
    await browser.open(address, { scheme: "light", width: 1280, height: 900, ...options });
    return new ShownPage(browser, address);
  }

  /** The value of an expression in the page. */
  ask(expression: string): Promise<unknown> {
    return this.#browser.evaluate(expression);
  }

  /** The lines of the panel. */
  async panel(): Promise<string[]> {
    const expression =
      '[...document.querySelectorAll("#panel h3, #panel p, #panel li")].map((line) => line.textContent)';
    return (await this.ask(expression)) as string[];
  }

  /** Points at a square of a region, which is one of so many in a row. */
  async pointAt(
    image: number,
    region: number,
    place: { readonly column: number; readonly row: number },
  ): Promise<void> {
    const canvas = `document.querySelectorAll(".map")[${image}].querySelectorAll("canvas")[${region}]`;
    await this.ask(`${canvas}.scrollIntoView({ block: "center" })`);
    const box = (await this.ask(
      `(() => { const { left, top } = ${canvas}.getBoundingClientRect(); return { left, top }; })()`,
    )) as { readonly left: number; readonly top: number };
    await this.#browser.pointAt(
      box.left + 1 + (place.column + 0.4) * SQUARE_PITCH,
      box.top + 1 + (place.row + 0.4) * SQUARE_PITCH,
    );
  }

  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#browser.press(key);
  }

  /** Colours of a canvas by how many pixels have them, the most frequent first; transparent ones are left out. */
  async colours(image: number, region: number): Promise<readonly string[]> {
    const counts = (await this.ask(`(() => {
      const canvas = document.querySelectorAll(".map")[${image}].querySelectorAll("canvas")[${region}];
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const counts = {};
      for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] !== 255) continue;
        const colour = "#" + [...data.subarray(at, at + 3)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        counts[colour] = (counts[colour] ?? 0) + 1;
      }
      return counts;
    })()`)) as Readonly<Record<string, number>>;
    return Object.entries(counts)
      .sort(([, left], [, right]) => right - left)
      .map(([colour]) => colour);
  }

  screenshot(): Promise<Uint8Array> {
    return this.#browser.screenshot();
  }

  /** Nothing but the file itself was asked for, and neither script nor policy had anything to complain of. */
  expectQuiet(): void {
    expect(this.#browser.requests).toEqual([this.#address]);
    expect(this.#browser.complaints).toEqual([]);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

/** Pixels from one square to the next where a map has few. */
const SQUARE_PITCH = 13;
