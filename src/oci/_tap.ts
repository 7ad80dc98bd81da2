/** Who sees decompressed bytes besides the one they are lent to. */

/**
 * Is given each piece before it is lent. Where it returns a promise, the piece's memory stays as it is until that resolves; else it has
 * done with it.
 */
export type Tap = (piece: Uint8Array) => Promise<void> | undefined;
