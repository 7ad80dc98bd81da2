import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { PlacedBody } from "../../src/segment/file-place.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { outlined } from "../support/layer-entries.ts";
import {
  directoryEntry as directory,
  hardlinkEntry as link,
  layerEntry,
  symlinkEntry as symlink,
} from "../support/layer-entry.ts";
import { plainTree } from "../support/layer-tree.ts";

/** A file of two blocks at this block of its segment. */
function bodied(segmentBlock: number): Partial<LayerEntry> {
  return { body: new PlacedBody(5000, [{ fileBlock: 0, segmentBlock, blockCount: 2 }]) };
}

describe("a lowest layer that goes into the tree while it comes", () => {
  const LAYER = [
    directory("d"),
    layerEntry("d/a", bodied(0)),
    link("d/b", "d/a"),
    layerEntry("e/f/g", bodied(1)),
    symlink("l", "d"),
    layerEntry("l/c", bodied(2)),
    directory("e"),
    directory("./"),
  ];
  const UPPER = [layerEntry("d/.wh.b"), layerEntry("x/y"), directory("d")];

  /** What comes of layers of which the first `aheadCount` entries of the lowest came ahead. */
  function flattened(layers: readonly (readonly LayerEntry[])[], aheadCount: number): unknown {
    const flattener = new Flattener();
    for (const entry of layers[0]?.slice(0, aheadCount) ?? []) flattener.putAhead(entry);
    for (const layer of layers) flattener.applyLayer(outlined(layer));
    return [plainTree(flattener.finish()), flattener.layersWithHidden];
  }

  test.each<[string, readonly LayerEntry[]]>([
    ["as it is", LAYER],
    ["with a file that comes twice", [...LAYER, layerEntry("d/a", bodied(3))]],
    ["with a directory that is replaced", [...LAYER, layerEntry("d")]],
    [
      "with whiteouts, which hide nothing there",
      [...LAYER, layerEntry("d/.wh.a"), layerEntry("d/.wh..wh..opq")],
    ],
    [
      "with a file in a directory of AUFS",
      [layerEntry(".wh..wh.plnk/1"), link("a", ".wh..wh.plnk/1"), ...LAYER],
    ],
    ["without entries", []],
  ])("makes the same tree, however much of it came: %s", (_name, layer) => {
    const whole = flattened([layer, UPPER], 0);
    for (let count = 1; count <= layer.length; count++)
      expect(flattened([layer, UPPER], count)).toEqual(whole);
  });

  test("is refused as if it had not, and not before it is whole", () => {
    const bad = [...LAYER, link("z", "nothing"), layerEntry("y")];
    expect(() => flattened([bad], 0)).toThrow("hard link to a path that does not exist");
    const flattener = new Flattener();
    for (const entry of bad) flattener.putAhead(entry);
    expect(() => {
      flattener.applyLayer(outlined(bad));
    }).toThrow("hard link to a path that does not exist");
  });

  test("may get the places of its bodies later", () => {
    const late = layerEntry("d/a", { body: new PlacedBody(5000) });
    const hidden = layerEntry("h", { body: new PlacedBody(5000) });
    const hole = layerEntry("o", { body: new PlacedBody(5000) });
    const place = (entry: LayerEntry, segmentBlock: number): void => {
      (entry.body as PlacedBody).place([{ fileBlock: 0, segmentBlock, blockCount: 2 }]);
    };
    const hiddenLayers = (layer: readonly LayerEntry[]): readonly number[] => {
      const flattener = new Flattener();
      for (const entry of layer) flattener.putAhead(entry);
      place(late, 7);
      place(hidden, 9);
      flattener.applyLayer(outlined(layer));
      const parent = flattener.finish().rootDirectory.children?.get(asByteString("d"));
      expect(parent?.children?.get(asByteString("a"))?.body?.runs).toEqual(late.body?.runs);
      expect(late.body?.runs).toHaveLength(1);
      return [...flattener.layersWithHidden];
    };
    expect(hiddenLayers([late, hole, directory("o")])).toEqual([]);
    expect(hiddenLayers([late, hidden, directory("h")])).toEqual([0]);
  });

  test("is the lowest one: what comes later changes nothing", () => {
    const flattener = new Flattener();
    flattener.applyLayer(outlined(LAYER));
    flattener.putAhead(layerEntry("new"));
    flattener.applyLayer(outlined(UPPER));
    expect([plainTree(flattener.finish()), flattener.layersWithHidden]).toEqual(flattened([LAYER, UPPER], 0));
  });
});
