// ⚡ uses: file system
/** Images in a store for the tests of verify, made by the converter, and ways to damage them. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { ChunkName } from "../../src/chunk/chunk.ts";
import { convertImage } from "../../src/convert/convert-image.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import type { ManifestId } from "../../src/manifest/manifest-id.ts";
import type { OciImage } from "../../src/source/oci-image.ts";
import { openImage } from "../../src/source/open-image.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { LayerRecords, type LayerRecord } from "../../src/verify/layer-records.ts";
import { writeLayout } from "../support/oci-layout.ts";
import type { TarBuilder } from "../support/tar-builder.ts";
import type { TestStore } from "../support/test-store.ts";

export { openTestStore, type TestStore } from "../support/test-store.ts";

/** The second reader's program; `npm run build` makes it. */
export const EXT2FS_PROGRAM: URL = new URL("../../dist/verify/ext2fs-reader.js", import.meta.url);

export const LAYER_BYTES_MAX: number = 2 ** 50;

/** An image in the store, and where it came from. */
export interface TestImage {
  readonly manifestId: ManifestId;
  readonly content: ManifestContent;
  readonly layout: string;
}

let layoutCount = 0;

/** Writes a layout of the layers; `run` tells two images of the same layers apart. */
export function layoutOf(place: TestStore, layers: readonly TarBuilder[], run = {}): string {
  const layout = join(place.directory, `layout-${layoutCount++}`);
  return writeLayout(layout, [{ layers: layers.map((layer) => ({ tar: layer.end() })), run }]);
}

export function openLayout(layout: string): Promise<OciImage> {
  const defaultPlatform = { os: "linux", architecture: "amd64" };
  return openImage({ kind: "oci", text: "", path: layout }, { platform: undefined, defaultPlatform });
}

/** Converts the layers. */
export async function convertLayers(place: TestStore, layers: readonly TarBuilder[]): Promise<TestImage> {
  const { store, keyring } = place;
  const layout = layoutOf(place, layers);
  const image = await openLayout(layout);
  try {
    const { manifestId } = await convertImage({
      image,
      store,
      sealer: new InlineSealer(store, saltOf(store.activeRoot().saltParameters)),
      keyring,
      imageName: "test",
      sizeRequest: { kind: "auto" },
      mtimePolicy: { kind: "preserve" },
      mayReuse: true,
      layerBytesMax: LAYER_BYTES_MAX,
    });
    const manifest = await store.getManifest(keyring.customerId, manifestId);
    return { manifestId, layout, content: openManifest(manifest, keyring.customerKey()) };
  } finally {
    await image.close();
  }
}

/** The file of a chunk. */
export function chunkFile(place: TestStore, name: ChunkName): string {
  const { directory } = place;
  const paths = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const path = paths.find((candidate) => candidate.endsWith(`/${name}`));
  if (path === undefined) throw new Error(`no file of chunk ${name}`);
  return join(directory, path);
}

/** Flips one bit of a file. */
export function flipBit(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

/** The records of a layer, as verify reads them. */
export function recordsOf(layer: TarBuilder): readonly LayerRecord[] {
  const records = new LayerRecords();
  const parser = new TarParser(records, { label: "layer" });
  parser.push(layer.end());
  parser.finish();
  return records.records;
}
