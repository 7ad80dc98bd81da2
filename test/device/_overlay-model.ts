/** Overlays of tests: a base that counts its reads, and a plain array that says what a device should hold. */
import fc from "fast-check";

import type { BlockSource } from "../../src/base/block-source.ts";
import type { Digest } from "../../src/base/digest.ts";
import { asOverlayKey, type OverlayKey } from "../../src/crypto/overlay-seal.ts";
import type { BlockDevice } from "../../src/device/block-device.ts";
import type { OverlayStore, PageChange } from "../../src/device/overlay-store.ts";
import { patterned } from "../contract/device.ts";

export const PAGE = 4096;
export const KEY: OverlayKey = asOverlayKey(new Uint8Array(32).fill(3));
export const DIGEST: Digest = `sha256:${"ab".repeat(32)}` as Digest;

export class ArrayBase implements BlockSource {
  readonly bytes: Uint8Array;
  readonly asked: string[] = [];

  constructor(pageCount: number) {
    this.bytes = patterned(pageCount * PAGE, 0);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  async read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array> {
    this.asked.push(`${sizeBytes} at ${offsetBytes}`);
    await Promise.resolve();
    return this.bytes.subarray(offsetBytes, offsetBytes + sizeBytes);
  }
}

export type Step =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "zero" | "discard"; readonly offset: number; readonly size: number }
  | { readonly kind: "flush" };

/** Steps on a device of this many pages; many at and about the edges of pages. */
export function steps(pageCount: number): fc.Arbitrary<Step> {
  const end = pageCount * PAGE;
  const edge = fc
    .tuple(fc.nat(pageCount), fc.integer({ min: -2, max: 2 }))
    .map(([page, by]) => page * PAGE + by);
  const place = fc.oneof(edge, fc.nat(end)).map((at) => Math.min(Math.max(at, 0), end));
  const range = fc.tuple(place, place).map(([left, right]) => ({
    offset: Math.min(left, right),
    size: Math.min(Math.abs(left - right), 6 * PAGE),
  }));
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(range, fc.nat(255)).map(([{ offset, size }, seed]): Step => {
        const bytes = seed === 0 ? new Uint8Array(size) : patterned(size, seed);
        return { kind: "write", offset, bytes };
      }),
    },
    { weight: 1, arbitrary: range.map((at): Step => ({ kind: "zero", ...at })) },
    { weight: 1, arbitrary: range.map((at): Step => ({ kind: "discard", ...at })) },
    { weight: 2, arbitrary: fc.constant<Step>({ kind: "flush" }) },
  );
}

export async function runStep(device: BlockDevice, step: Step): Promise<void> {
  if (step.kind === "flush") await device.flush();
  else if (step.kind === "write") await device.write(step.offset, step.bytes);
  else {
    const range = { offsetBytes: step.offset, sizeBytes: step.size };
    if (step.kind === "discard") await device.discard(range);
    else await device.writeZeroes(range, { mayDiscard: step.size % 2 === 0 });
  }
}

/** The step on a plain array. */
export function runOnArray(model: Uint8Array, step: Step): void {
  if (step.kind === "flush") return;
  if (step.kind === "write") model.set(step.bytes, step.offset);
  else model.fill(0, step.offset, step.offset + step.size);
}

export const pageOfSeed = (seed: number): Uint8Array => patterned(PAGE, seed);
export const put = (page: number, seed: number): PageChange[] => [
  { firstPage: page, pageCount: 1, bytes: pageOfSeed(seed) },
];

export async function pageAt(store: OverlayStore, page: number): Promise<Uint8Array> {
  const target = new Uint8Array(PAGE);
  await store.read(page, target);
  return target;
}
