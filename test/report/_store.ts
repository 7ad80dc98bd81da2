/** Images in a store for the tests of reports, made by the converter. */
import path from "node:path";

import { convertImage } from "../../src/convert/convert-image.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { openManifest } from "../../src/crypto/manifest-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import type { ManifestId } from "../../src/manifest/manifest-id.ts";
import { openImage } from "../../src/source/open-image.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { noise as bytesOf } from "../support/random.ts";
import type { TestStore } from "../support/test-store.ts";

export { openTestStore, type TestStore } from "../support/test-store.ts";

let layoutCount = 0;

/** Converts the layers (tars) under a name. */
export async function convertAs(
  { directory, store, keyring }: TestStore,
  imageName: string,
  layers: readonly Uint8Array[],
): Promise<{ readonly manifestId: ManifestId; readonly content: ManifestContent }> {
  const layout = writeLayout(path.join(directory, `layout-${layoutCount++}`), [
    { layers: layers.map((tar) => ({ tar })) },
  ]);
  const image = await openImage(
    { kind: "oci", text: "", path: layout },
    { platform: undefined, defaultPlatform: { os: "linux", architecture: "amd64" } },
  );
  try {
    const { manifestId } = await convertImage({
      image,
      store,
      sealer: new InlineSealer(store, saltOf(store.activeRoot().saltParameters)),
      keyring,
      imageName,
      sizeRequest: { kind: "auto" },
      mtimePolicy: { kind: "preserve" },
      mayReuse: true,
      layerBytesMax: 2 ** 40,
    });
    const manifest = await store.getManifest(keyring.customerId, manifestId);
    return { manifestId, content: openManifest(manifest, keyring.customerKey()) };
  } finally {
    await image.close();
  }
}

/** Bytes that look like no others, the same for the same seed. */
export function noise(seed: number, sizeBytes: number): Uint8Array {
  return bytesOf(sizeBytes, (seed * 2654435761 + 12345) >>> 0);
}
