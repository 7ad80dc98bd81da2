import { describe, expect, test } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { RoomFiller, Rooms } from "../../src/base/rooms.ts";

/** Whether a promise is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const state = { isSettled: false };
  void promise.finally(() => (state.isSettled = true)).catch(() => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  return state.isSettled;
}

describe("Rooms", () => {
  test("are no more than they may be, and go to who waits longest", async () => {
    const rooms = new Rooms(8, 2);
    const [first, second] = [await rooms.take(), await rooms.take()];
    expect([first.length, second.length]).toEqual([8, 8]);
    expect(first.buffer).not.toBe(second.buffer);
    const [third, fourth] = [rooms.take(), rooms.take()];
    expect(await isSettled(third)).toBe(false);
    rooms.giveBack(second);
    expect(await third).toBe(second);
    expect(await isSettled(fourth)).toBe(false);
    rooms.giveBack(first);
    expect(await fourth).toBe(first);
  });

  test("fail who waits and who comes", async () => {
    const rooms = new Rooms(8, 1);
    await rooms.take();
    const waiting = rooms.take();
    rooms.fail(new Error("gone"));
    rooms.fail(new Error("gone again"));
    await expect(waiting).rejects.toThrow("gone");
    await expect(rooms.take()).rejects.toThrow(/^gone$/);
  });

  test("give their memory back, and can be taken again", async () => {
    const rooms = new Rooms(8, 2);
    const [here, away] = [await rooms.take(), await rooms.take()];
    rooms.giveBack(here);
    rooms.release();
    expect(here.length).toBe(0);
    expect(away.length).toBe(8);
    // The one that is away still counts.
    expect((await rooms.take()).length).toBe(8);
    expect(await isSettled(rooms.take())).toBe(false);
  });
});

describe("RoomFiller", () => {
  /** A filler whose rooms come back at once, as from a thread: moved there and back. */
  function makeFiller(countMax = 2): { filler: RoomFiller; given: Uint8Array[]; rooms: Rooms } {
    const rooms = new Rooms(8, countMax);
    const given: Uint8Array[] = [];
    const filler = new RoomFiller(rooms, (room, sizeBytes) => {
      const moved = structuredClone(room, { transfer: [room.buffer as ArrayBuffer] });
      given.push(moved.slice(0, sizeBytes));
      rooms.giveBack(moved);
    });
    return { filler, given, rooms };
  }

  test.each([1, 3, 8, 20, 64])(
    "gives all bytes in full rooms but for the last, from pieces of %d",
    async (pieceBytes) => {
      const { filler, given } = makeFiller();
      const bytes = new Uint8Array(61).map((_, index) => index);
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const lent = bytes.slice(at, at + pieceBytes);
        await filler.write(lent);
        lent.fill(0xee);
      }
      expect(given.map(({ length }) => length)).toEqual([8, 8, 8, 8, 8, 8, 8]);
      filler.flush();
      filler.flush();
      expect(given.at(-1)?.length).toBe(5);
      expect(concatBytes(...given)).toEqual(bytes);
    },
  );

  test("waits for a room, and gives back the one it has", async () => {
    const { filler, rooms, given } = makeFiller(1);
    const room = await rooms.take();
    const writing = filler.write(Uint8Array.of(1, 2));
    expect(await isSettled(writing)).toBe(false);
    rooms.giveBack(room);
    await writing;
    filler.close();
    filler.close();
    expect(await rooms.take()).toBe(room);
    expect(given).toEqual([]);
  });
});
