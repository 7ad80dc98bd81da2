/** Limits on what an NBD client may say, hold and take its time for. */
import { KIB, MIB } from "../base/units.ts";

/** Bytes of a string (proto.md, "Conventions"). */
export const STRING_BYTES_MAX = 4096;
/** Bytes that come with one option: a name, and a good many queries. Longer ones are skipped and refused. */
export const OPTION_BYTES_MAX: number = 64 * KIB;
/** Bytes of an option that are skipped in order to refuse it; a client that announces more is cut off. */
export const OPTION_SKIP_BYTES_MAX: number = 16 * MIB;
/** Options of one handshake; a client that asks for everything about many exports sends two or three for each. */
export const OPTION_COUNT_MAX = 4096;
/** Milliseconds from the connection to the end of the handshake, TLS included. */
export const HANDSHAKE_TIME_MS_MAX = 30_000;
/** Milliseconds that a connection may stay half closed. */
export const LINGER_TIME_MS_MAX = 5_000;
/** Connections at the same time, unless the caller says otherwise. */
export const CONNECTION_COUNT_MAX_DEFAULT = 64;

/** Bytes that one READ or WRITE may carry: NBD_INFO_BLOCK_SIZE's maximum, which is also what clients assume. */
export const PAYLOAD_BYTES_MAX: number = 32 * MIB;
/** Requests of one connection that are under way: from their header to when their reply has left. */
export const REQUEST_COUNT_MAX = 128;
/** Bytes that these carry together; one of the largest has to fit. */
export const REQUEST_BYTES_MAX: number = PAYLOAD_BYTES_MAX;
/** Bytes taken from a socket before anybody asked for them. */
export const READ_AHEAD_BYTES_MAX: number = 256 * KIB;
/** Pieces that these may come in: each costs memory of its own, and a client can send single bytes. */
export const READ_AHEAD_PIECES_MAX = 256;
/** Bytes of a Unix socket's path: sun_path of 108 less the NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** A structured read is answered in pieces that end at multiples of this: one damaged chunk costs one piece. */
export const READ_PIECE_BYTES: number = 512 * KIB;
/** Pieces of one read that are asked of the device at the same time. */
export const READ_PIECES_AT_ONCE = 4;
/** Bytes of a read below which nobody looks for holes in it: to say them would save less than the question costs. */
export const HOLE_READ_BYTES_MIN: number = 64 * KIB;
/** Extents of a read above which its holes are not told. */
export const READ_EXTENTS_MAX = 64;
/** Bytes that a device is asked about at a time for NBD_CMD_BLOCK_STATUS: at most 16384 pages. */
export const STATUS_STEP_BYTES: number = 64 * MIB;
/** Descriptors of one NBD_CMD_BLOCK_STATUS reply. */
export const STATUS_DESCRIPTORS_MAX = 4096;
