/** References to images: `oci:DIR[:TAG|@digest]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`, registry. */
import type { Digest } from "../base/digest.ts";

/** Where an image is to be found, parsed. `text` is what the user wrote. */
export type ImageReference =
  | {
      readonly kind: "oci";
      readonly text: string;
      readonly path: string;
      readonly tag?: string;
      readonly digest?: Digest;
    }
  | { readonly kind: "oci-archive"; readonly text: string; readonly path: string; readonly tag?: string }
  | { readonly kind: "docker-archive"; readonly text: string; readonly path: string; readonly name?: string };
