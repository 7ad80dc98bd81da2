/** Paths of layer entries as lists of names (image-spec layer.md; tar archives write them in many ways). */
import { asByteString, copyByteString, showByteString, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { NAME_BYTES_MAX } from "../base/limit.ts";

/**
 * The names of a path below the root directory: `./a//b/` gives `a`, `b`; the root itself gives none. `..` takes
 * back the name before it, as a cleaner of paths does, without looking at the tree.
 * @throws TAR_PATH_UNSAFE where `..` would leave the root directory; PATH_TOO_LONG for a name over 255 bytes
 */
export function splitPath(path: ByteString): ByteString[] {
  const names: ByteString[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (names.pop() === undefined) {
        throw new LambdaImgError(
          "TAR_PATH_UNSAFE",
          `${showByteString(path)}: expected a path inside the image, found one that leaves its root directory by ".."`,
        );
      }
      continue;
    }
    if (name.length > NAME_BYTES_MAX) throw nameTooLong(path, name.length);
    names.push(asByteString(name));
  }
  return names;
}

/** V8's SlicedString::kMinLength. */
const SLICED_LENGTH_MIN = 13;

/**
 * The byte string in memory of its own. V8 copies parts of a string that have up to 12 characters, while a longer one keeps alive
 * what it was cut from: of a million names in a tree, each would hold its whole path.
 */
export function ownByteString(text: ByteString): ByteString {
  return text.length < SLICED_LENGTH_MIN ? text : copyByteString(text);
}

/** The error for a name that no Linux file system can hold. */
export function nameTooLong(path: ByteString, nameBytes: number): LambdaImgError {
  return new LambdaImgError(
    "PATH_TOO_LONG",
    `${showByteString(path)}: name too long: expected at most ${NAME_BYTES_MAX} bytes, found ${nameBytes}`,
    { details: { limitBytes: NAME_BYTES_MAX, foundBytes: nameBytes } },
  );
}
