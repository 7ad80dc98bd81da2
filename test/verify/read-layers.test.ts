import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readLayers } from "../../src/verify/read-layers.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { LAYER_BYTES_MAX, layoutOf, openLayout, openTestStore, type TestStore } from "./_support.ts";

let place: TestStore;
beforeAll(async () => {
  place = await openTestStore();
});
afterAll(() => place.close());

describe("layers are read", () => {
  test("base first, equal ones in each of their places", async () => {
    const [one, two] = [tarBuilder().file("a", "x"), tarBuilder().file("b")];
    const image = await openLayout(layoutOf(place, [one, two, one]));
    const layers = await readLayers(image, { layerBytesMax: LAYER_BYTES_MAX });
    await image.close();
    expect(layers.map((records) => records.map(({ entry }) => entry.path))).toEqual([["a"], ["b"], ["a"]]);
  });

  test("until the caller has enough", async () => {
    const image = await openLayout(layoutOf(place, [tarBuilder().file("a", "x")]));
    const signal = AbortSignal.abort();
    await expect(readLayers(image, { layerBytesMax: LAYER_BYTES_MAX, signal })).rejects.toMatchObject({
      code: "CANCELLED",
    });
    await image.close();
  });

  test("up to the limit of their size", async () => {
    const image = await openLayout(layoutOf(place, [tarBuilder().file("a", "x")]));
    await expect(readLayers(image, { layerBytesMax: 511 })).rejects.toMatchObject({
      code: "LAYER_TOO_LARGE",
    });
    await image.close();
  });
});
