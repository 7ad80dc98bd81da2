/** Reading whole images in tests of sources. */
import { expect } from "vitest";

import type { DiffId } from "../../src/base/digest.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { openLayer } from "../../src/layer/open-layer.ts";
import { parsePlatform, type Platform } from "../../src/oci/platform.ts";
import type { OciImage } from "../../src/source/oci-image.ts";
import { openImage } from "../../src/source/open-image.ts";
import { parseImageReference } from "../../src/source/reference.ts";
import { collect, type LayoutLayer } from "../support/oci-layout.ts";

/** What is taken where a test asks for no platform. */
export const amd64: Platform = parsePlatform("linux/amd64");

/** Bytes that differ for each seed. */
export const tar = (seed: number, sizeBytes = 3000): Uint8Array =>
  new Uint8Array(sizeBytes).map((_, index) => index * seed);

/** Three layers, one of several reads, one plain. */
export const layers: readonly LayoutLayer[] = [
  { tar: tar(3, 900_000) },
  { tar: tar(5), compression: "none" },
  { tar: tar(7) },
];

/** Their tars. */
export const tars: readonly Uint8Array[] = layers.map((layer) => layer.tar);

/** Opens an image, as the command line would. */
export function open(reference: string, platform?: string): Promise<OciImage> {
  return openImage(parseImageReference(reference), {
    platform: platform === undefined ? undefined : parsePlatform(platform),
    defaultPlatform: amd64,
  });
}

/** Every distinct layer's tar, by index, in the order of the source. */
export async function readAll(
  reference: string,
  platform?: string,
): Promise<readonly (readonly [number, Uint8Array])[]> {
  const image = await open(reference, platform);
  try {
    const found: (readonly [number, Uint8Array])[] = [];
    for await (const stream of image.streamLayers({})) {
      const bytes = await collect(openLayer(stream, { layerBytesMax: 1 << 30 }));
      found.push([stream.descriptor.layerIndex, bytes]);
    }
    expect(image.pulledBytes()).toBeGreaterThan(0);
    return found;
  } finally {
    await image.close();
    await image.close();
  }
}

/** Indexes of the layers that come where some are known; each is read to its end. */
export async function streamedLayers(image: OciImage, known: readonly DiffId[]): Promise<readonly number[]> {
  const found: number[] = [];
  for await (const { descriptor, bytes } of image.streamLayers({ known: new Set(known) })) {
    await collect(bytes);
    found.push(descriptor.layerIndex);
  }
  return found;
}

/** The refusal of an image: at opening, or in its layers. */
export async function failure(reference: string, platform?: string): Promise<LambdaImgError> {
  const error: unknown = await readAll(reference, platform).catch((cause: unknown) => cause);
  if (error instanceof LambdaImgError) return error;
  throw new Error("expected a LambdaImgError", { cause: error });
}

/** Expects the layers, base first, whatever order they came in. */
export function expectLayers(
  found: readonly (readonly [number, Uint8Array])[],
  expected: readonly Uint8Array[],
): void {
  const sorted = found.toSorted(([left], [right]) => left - right);
  expect(sorted.map(([index]) => index)).toEqual(expected.map((_, index) => index));
  expect(sorted.every(([index, bytes]) => equalBytes(bytes, expected[index] ?? new Uint8Array(0)))).toBe(
    true,
  );
}
