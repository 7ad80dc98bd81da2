/**
 * The storeys of src/ (docs/architecture.md): which folder may import which. Every folder may import itself.
 * A wall is moved here and on that page together.
 */

/** What one folder of src/ may import besides itself. */
export interface Storey {
  readonly storey: number;
  readonly imports: readonly string[];
  /** Folders of which types alone may be imported. */
  readonly importsTypesOf?: readonly string[];
}

/** By folder. `index` stands for src/index.ts, the only file at the root of src/. */
export const STOREYS: Readonly<Record<string, Storey>> = {
  base: { storey: 0, imports: [] },
  chunk: { storey: 1, imports: ["base"] },
  erasure: { storey: 1, imports: ["base"] },
  oci: { storey: 1, imports: ["base"] },
  tar: { storey: 1, imports: ["base"] },
  manifest: { storey: 2, imports: ["base", "chunk"] },
  registry: { storey: 2, imports: ["base", "oci"] },
  source: { storey: 2, imports: ["base", "oci", "tar", "registry"] },
  layer: { storey: 2, imports: ["base", "oci", "tar"], importsTypesOf: ["source"] },
  tree: { storey: 2, imports: ["base", "tar"] },
  crypto: { storey: 3, imports: ["base", "chunk", "manifest"] },
  store: { storey: 3, imports: ["base", "chunk", "manifest"] },
  ext4: { storey: 3, imports: ["base", "tree"] },
  segment: { storey: 3, imports: ["base", "chunk", "layer", "tar", "tree"] },
  gc: { storey: 4, imports: ["base", "chunk", "manifest", "store"] },
  cache: { storey: 4, imports: ["base", "chunk", "store", "erasure"] },
  device: { storey: 4, imports: ["base", "chunk", "manifest", "crypto", "store"] },
  nbd: { storey: 5, imports: ["base", "device"] },
  convert: {
    storey: 5,
    imports: [
      ...["base", "oci", "tar", "source", "layer", "segment", "tree", "ext4"],
      ...["chunk", "crypto", "manifest", "store"],
    ],
  },
  verify: {
    storey: 6,
    imports: [
      ...["base", "oci", "tar", "tree", "source", "layer"],
      ...["chunk", "manifest", "crypto", "store", "device", "ext4"],
    ],
  },
  report: {
    storey: 6,
    imports: ["base", "chunk", "manifest", "crypto", "store", "device", "ext4"],
  },
  serve: {
    storey: 6,
    imports: ["base", "chunk", "crypto", "manifest", "store", "cache", "device", "nbd"],
  },
  cli: {
    storey: 7,
    imports: [
      ...["base", "chunk", "erasure", "oci", "tar", "manifest", "registry", "source", "layer", "tree"],
      ...["crypto", "store"],
      ...["ext4", "segment", "gc", "cache", "device", "nbd", "convert", "verify", "report", "serve"],
    ],
  },
  index: {
    storey: 7,
    imports: [
      ...["base", "chunk", "erasure", "oci", "tar", "manifest", "registry", "source", "layer", "tree"],
      ...["crypto", "store"],
      ...["ext4", "segment", "gc", "cache", "device", "nbd", "convert", "verify", "report", "serve"],
    ],
  },
};

/** The only folders that may hold keys; that store, cache and gc cannot decrypt follows from it. */
export const KEY_HOLDERS: readonly string[] = [
  "convert",
  "device",
  "report",
  "serve",
  "verify",
  "cli",
  "index",
];
