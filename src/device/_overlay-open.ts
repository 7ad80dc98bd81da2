/** Makes and opens an overlay on a medium. docs/format/overlay.md, "Opening". */
import { FileOverlayStore } from "./_overlay-file.ts";
import {
  encodeHeader,
  readHeader,
  readMark,
  reserveMarks,
  writeMark,
  type OverlayIdentity,
} from "./_overlay-header.ts";
import { OverlayLog } from "./_overlay-log.ts";
import type { OverlayMedium } from "./_overlay-medium.ts";
import type { OverlayStore } from "./overlay-store.ts";

/** The overlay on the medium, which the store closes. @throws as openOverlayFile */
export async function openOverlay(
  medium: OverlayMedium,
  identity: OverlayIdentity,
  path: string,
): Promise<OverlayStore> {
  const layout = await readHeader(medium, identity, path);
  const mark = await readMark(medium, layout, path);
  return FileOverlayStore.open(medium, layout, mark);
}

/** Writes an overlay without pages, and makes it lasting. */
export async function formatOverlay(
  medium: OverlayMedium,
  identity: OverlayIdentity,
  options: { readonly path: string; readonly maxBytes: number },
): Promise<void> {
  await medium.write(encodeHeader(identity, options.maxBytes), 0);
  const layout = await readHeader(medium, identity, options.path);
  await reserveMarks(medium);
  await writeMark(medium, layout.tableSealer, { number: 0, ...new OverlayLog(medium, layout, 0).end });
  await medium.sync();
}
