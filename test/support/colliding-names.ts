/**
 * Names of 255 bytes which half MD4 with the seed of our disk images gives one hash: found by trying 2^36 names. A
 * block holds 15 entries of this length, so that they take three.
 */
const MIDDLES =
  "nnnnnnnnn 6w1ipBAAA UEmOZKAAA y2PQsMAAA h8ClLOAAA 70gTiOAAA yHybqOAAA XjM9gTAAA " +
  "buctKVAAA y8cpKYAAA 7lxuzZAAA Sp8N-ZAAA XwyBhaAAA Sx-z9cAAA zTu2WhAAA gBBBshAAA " +
  "mRKEiiAAA FuFu0iAAA xVLy0jAAA hTac-sAAA mdkjruAAA YdHk2uAAA JwSYrvAAA ltIVuvAAA " +
  "M3i5H1AAA IHAuV1AAA qZPhj3AAA t38bv3AAA wqM-z4AAA -J-Hk6AAA uMninBBAA aKdN6BBAA " +
  "fKEnmCBAA";

/** 33 names, in no order. */
export const COLLIDING_NAMES: readonly string[] = MIDDLES.split(" ").map(
  (middle) => `${"n".repeat(241)}${middle}nnnnn`,
);
