/** What every device keeps of the contract in src/device/block-device.ts; run it for each implementation and decorator. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { BlockDevice } from "../../src/device/block-device.ts";
import { codeOf as failureOf } from "../support/code-of.ts";

export { failureOf };

/** A device of at least 64 KiB with these bytes; `remove` comes after `close`. */
export interface DevicePlace {
  readonly device: BlockDevice;
  readonly bytes: Uint8Array;
  remove(): Promise<void>;
}

const PAGE = 4096;

/** Bytes that differ from page to page and from seed to seed; none is zero. */
export function patterned(sizeBytes: number, seed: number): Uint8Array {
  return Uint8Array.from(
    { length: sizeBytes },
    (_, at) => 1 + ((at * 31 + (at >> 12) * 7 + seed * 13) % 255),
  );
}

/** Compares without printing megabytes. */
export function expectBytes(found: Uint8Array, expected: Uint8Array): void {
  expect(found.length).toBe(expected.length);
  const at = found.findIndex((byte, index) => byte !== expected[index]);
  expect(at < 0 ? "equal" : `first difference at ${at}`).toBe("equal");
}

/** Runs the suite on the devices that `make` gives: what reads keep, and what writes do or how they are refused. */
export function deviceContract(label: string, make: () => Promise<DevicePlace>): void {
  describe(`${label} keeps the contract of a device:`, () => {
    let place: DevicePlace;
    let device: BlockDevice;
    let model: Uint8Array;

    beforeEach(async () => {
      place = await make();
      device = place.device;
      model = Uint8Array.from(place.bytes);
    });

    afterEach(async () => {
      await device.close();
      await place.remove();
    });

    test("any part of it can be read, none and all included", async () => {
      const { sizeBytes } = device;
      expect(sizeBytes).toBe(model.length);
      const parts = [
        [0, 0],
        [0, 1],
        [1, PAGE],
        [PAGE - 1, 2],
        [PAGE, PAGE],
        [5, 3 * PAGE],
        [sizeBytes, 0],
      ];
      for (const [offset = 0, size = 0] of [...parts, [sizeBytes - 1, 1], [0, sizeBytes]]) {
        expectBytes(await device.read(offset, size), model.subarray(offset, offset + size));
      }
    });

    test.each([
      ["one byte past the end", (size: number) => [size, 1]],
      ["over the end", (size: number) => [size - 1, 2]],
      ["before the start", () => [-1, 1]],
      ["of a negative size", () => [1, -1]],
      ["at no whole number", () => [0.5, 1]],
      ["of no whole size", () => [0, 1.5]],
      ["at no number", () => [Number.NaN, 1]],
      ["beyond all numbers", () => [Number.MAX_SAFE_INTEGER, 1]],
    ])("a range is refused that is %s", async (_, at) => {
      const [offsetBytes = 0, sizeBytes = 0] = at(device.sizeBytes);
      const range = { offsetBytes, sizeBytes };
      expect(await failureOf(device.read(offsetBytes, sizeBytes))).toBe("DEVICE_RANGE_INVALID");
      expect(await failureOf(device.extents(range))).toBe("DEVICE_RANGE_INVALID");
      expect(await failureOf(device.prefetch(range))).toBe("DEVICE_RANGE_INVALID");
      if (device.isReadOnly) return;
      expect(await failureOf(device.discard(range))).toBe("DEVICE_RANGE_INVALID");
      expect(await failureOf(device.writeZeroes(range, { mayDiscard: true }))).toBe("DEVICE_RANGE_INVALID");
      if (!Number.isInteger(sizeBytes) || sizeBytes < 0) return;
      expect(await failureOf(device.write(offsetBytes, new Uint8Array(sizeBytes)))).toBe(
        "DEVICE_RANGE_INVALID",
      );
    });

    test("extents cover a range exactly, and neighbours differ", async () => {
      const end = device.sizeBytes - 3 * PAGE - 2;
      for (const range of [
        { offsetBytes: 0, sizeBytes: device.sizeBytes },
        { offsetBytes: 1, sizeBytes: end },
        { offsetBytes: 7, sizeBytes: 0 },
      ]) {
        const extents = await device.extents(range);
        expect(extents.reduce((sum, extent) => sum + extent.sizeBytes, 0)).toBe(range.sizeBytes);
        let at = range.offsetBytes;
        for (const [index, { sizeBytes, isZero, isHole }] of extents.entries()) {
          const next = extents[index + 1];
          expect(next?.isZero === isZero && next.isHole === isHole).toBe(false);
          expect(isHole && !isZero).toBe(false);
          expect(sizeBytes).toBeGreaterThan(0);
          if (isZero) expectBytes(model.subarray(at, at + sizeBytes), new Uint8Array(sizeBytes));
          at += sizeBytes;
        }
      }
    });

    test("bringing a range nearer changes nothing", async () => {
      await device.prefetch({ offsetBytes: 1, sizeBytes: device.sizeBytes - 1 });
      await device.prefetch({ offsetBytes: 0, sizeBytes: 0 });
      expectBytes(await device.read(0, device.sizeBytes), model);
    });

    test("it can be flushed, and closed twice, and calls after that fail", async () => {
      await device.flush();
      await device.close();
      await device.close();
      await expect(device.read(0, 1)).rejects.toThrow();
      await expect(device.flush()).rejects.toThrow();
      await expect(device.extents({ offsetBytes: 0, sizeBytes: 1 })).rejects.toThrow();
    });

    test("every change of a read-only device is refused", async () => {
      if (!device.isReadOnly) return;
      const range = { offsetBytes: 0, sizeBytes: 1 };
      expect(await failureOf(device.write(0, new Uint8Array(1)))).toBe("DEVICE_READ_ONLY");
      expect(await failureOf(device.writeZeroes(range, { mayDiscard: false }))).toBe("DEVICE_READ_ONLY");
      expect(await failureOf(device.discard(range))).toBe("DEVICE_READ_ONLY");
      expectBytes(await device.read(0, device.sizeBytes), model);
    });

    test.each([
      ["a byte", 5, 1],
      ["the first page", 0, PAGE],
      ["less than a page over a page's edge", PAGE - 3, 7],
      ["two parts of pages", PAGE + 1, PAGE],
      ["a page and two parts", 2 * PAGE - 1, PAGE + 2],
      ["all but two bytes", 1, -2],
      ["all", 0, 0],
      ["nothing", PAGE, Number.NaN],
    ])("a write of %s changes that and nothing else", async (_, offset, size) => {
      if (device.isReadOnly) return;
      const sizeBytes = Number.isNaN(size) ? 0 : size > 0 ? size : device.sizeBytes + size;
      const bytes = patterned(sizeBytes, 3);
      const given = Uint8Array.from(bytes);
      await device.write(offset, given);
      given.fill(0); // It is the caller's again.
      model.set(bytes, offset);
      expectBytes(await device.read(0, device.sizeBytes), model);
      await device.flush();
      for (const change of ["discard", "writeZeroes", "keepRoom"]) {
        const range = { offsetBytes: offset, sizeBytes };
        await device.write(offset, bytes);
        if (change === "discard") await device.discard(range);
        else await device.writeZeroes(range, { mayDiscard: change === "writeZeroes" });
        model.fill(0, offset, offset + sizeBytes);
        expectBytes(await device.read(0, device.sizeBytes), model);
      }
    });

    test("writes to parts of one page at the same time lose no byte", async () => {
      if (device.isReadOnly) return;
      const writes = Array.from({ length: 64 }, (_, index) => {
        const bytes = new Uint8Array(100).fill(index + 1);
        model.set(bytes, 2000 + index * 100);
        return device.write(2000 + index * 100, bytes);
      });
      await Promise.all([...writes, device.flush()]);
      expectBytes(await device.read(0, device.sizeBytes), model);
    });

    test("a read sees whole pages while they are written", async () => {
      if (device.isReadOnly) return;
      const sizeBytes = 8 * PAGE;
      await device.write(0, new Uint8Array(sizeBytes).fill(1));
      const calls: Promise<unknown>[] = [];
      for (let round = 2; round < 12; round++) {
        calls.push(device.write(0, new Uint8Array(sizeBytes).fill(round)));
        calls.push(
          device.read(0, sizeBytes).then((bytes) => {
            for (let at = 0; at < sizeBytes; at += PAGE) {
              expect(new Set(bytes.subarray(at, at + PAGE)).size).toBe(1);
            }
          }),
        );
      }
      await Promise.all(calls);
    });

    test("what was read does not change with later writes", async () => {
      if (device.isReadOnly) return;
      await device.write(0, patterned(PAGE, 1));
      const bytes = await device.read(0, PAGE);
      await device.write(0, patterned(PAGE, 2));
      expectBytes(bytes, patterned(PAGE, 1));
    });
  });
}
