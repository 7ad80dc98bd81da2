/** A layer's entry with what a test does not care about filled in. */
import { asByteString } from "../../src/base/bytes.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";

/** An empty file where nothing else is said. */
export function layerEntry(path: string, fields: Partial<LayerEntry> = {}): LayerEntry {
  return {
    path: asByteString(path),
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { seconds: 1, nanoseconds: 2 },
    body: undefined,
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
    ...fields,
  };
}

export const hardlinkEntry = (path: string, target: string): LayerEntry =>
  layerEntry(path, { type: "hardlink", linkTarget: asByteString(target) });

export const symlinkEntry = (path: string, target: string): LayerEntry =>
  layerEntry(path, { type: "symlink", linkTarget: asByteString(target) });

export const directoryEntry = (path: string, fields: Partial<LayerEntry> = {}): LayerEntry =>
  layerEntry(path, { type: "dir", ...fields });
