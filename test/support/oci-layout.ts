// ⚡ uses: Buffer, file system, process
/** Image layouts and archives for tests, right by default and wrong where a test asks for it. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

import { concatBytes } from "../../src/base/bytes.ts";

/** A layer; what is given beside `tar` replaces what would be right. */
export interface LayoutLayer {
  readonly tar: Uint8Array;
  readonly compression?: "none" | "gzip" | "zstd";
  readonly mediaType?: string;
  /** The bytes of the file, where they are not those of the digest. */
  readonly stored?: Uint8Array;
  readonly digest?: string;
  readonly sizeBytes?: number;
  readonly diffId?: string;
  readonly isMissing?: boolean;
}

/** An image of one platform. */
export interface LayoutImage {
  readonly layers: readonly LayoutLayer[];
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly run?: Readonly<Record<string, unknown>>;
  /** Members that replace those of the config, manifest or descriptor in the index. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly manifest?: Readonly<Record<string, unknown>>;
  readonly descriptor?: Readonly<Record<string, unknown>>;
  readonly tag?: string;
}

/** A descriptor, ready for an index. */
export type JsonDescriptor = Readonly<Record<string, unknown>> & {
  readonly digest: string;
  readonly size: number;
};

/** A layout that is being written into a directory of its own. */
export class LayoutBuilder {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, "blobs", "sha256"), { recursive: true });
    this.write("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  }

  write(path: string, content: string | Uint8Array): void {
    writeFileSync(join(this.directory, path), content);
  }

  /** Stores bytes under their digest. */
  blob(bytes: Uint8Array, mediaType: string): JsonDescriptor {
    const digest = digestOf(bytes);
    this.write(`blobs/sha256/${digest.slice(7)}`, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  json(document: unknown, mediaType: string): JsonDescriptor {
    return this.blob(new TextEncoder().encode(JSON.stringify(document)), mediaType);
  }

  /** Stores layers, config and manifest; the descriptor names the platform and, if there is one, the tag. */
  image(image: LayoutImage): JsonDescriptor {
    const platform = image.platform ?? { os: "linux", architecture: "amd64" };
    const layers = image.layers.map((layer) => this.#layer(layer));
    const config = this.json(
      {
        ...platform,
        config: image.run ?? {},
        rootfs: {
          type: "layers",
          diff_ids: image.layers.map((layer) => layer.diffId ?? digestOf(layer.tar)),
        },
        ...image.config,
      },
      "application/vnd.oci.image.config.v1+json",
    );
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = this.json({ schemaVersion: 2, mediaType, config, layers, ...image.manifest }, mediaType);
    const annotations = image.tag === undefined ? {} : { "org.opencontainers.image.ref.name": image.tag };
    return { ...manifest, platform, annotations, ...image.descriptor };
  }

  nestedIndex(manifests: readonly unknown[], more: Readonly<Record<string, unknown>> = {}): JsonDescriptor {
    const mediaType = "application/vnd.oci.image.index.v1+json";
    return this.json({ schemaVersion: 2, mediaType, manifests, ...more }, mediaType);
  }

  index(manifests: readonly unknown[]): void {
    this.write("index.json", JSON.stringify({ schemaVersion: 2, manifests }));
  }

  #layer(layer: LayoutLayer): JsonDescriptor {
    const compression = layer.compression ?? "gzip";
    const right = compress(layer.tar, compression);
    const digest = layer.digest ?? digestOf(right);
    const suffix = compression === "none" ? "" : `+${compression}`;
    if (layer.isMissing !== true) this.write(`blobs/sha256/${digest.slice(7)}`, layer.stored ?? right);
    return {
      mediaType: layer.mediaType ?? `application/vnd.oci.image.layer.v1.tar${suffix}`,
      digest,
      size: layer.sizeBytes ?? right.length,
    };
  }
}

/** Writes a layout that names `images` directly in its index; returns its directory. */
export function writeLayout(directory: string, images: readonly LayoutImage[]): string {
  const builder = new LayoutBuilder(directory);
  builder.index(images.map((image) => builder.image(image)));
  return directory;
}

/** A fresh directory, and what removes it. */
export function temporaryDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "lambda-img-test-"));
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** `sha256:…` of the bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The bytes, compressed. For zstd the command of that name must be there: hasCommand("zstd"). */
export function compress(bytes: Uint8Array, compression: "none" | "gzip" | "zstd"): Uint8Array {
  if (compression === "none") return bytes;
  if (compression === "gzip") return gzipSync(bytes);
  return new Uint8Array(execFileSync("zstd", ["--stdout", "--quiet"], { input: bytes, maxBuffer: 2 ** 30 }));
}

/** True where the command can be run. */
export function hasCommand(name: string): boolean {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false; // Whatever keeps it from running: the tests that need it are skipped.
  }
}

/** A member of a tar: bytes, or a link. */
export interface TarMember {
  readonly name: string;
  readonly content?: string | Uint8Array;
  readonly symlink?: string;
  readonly hardlink?: string;
}

/** A tar of the members, in their order. */
export async function tarOf(members: readonly TarMember[]): Promise<Uint8Array> {
  const stream = pack();
  for (const { name, content, symlink, hardlink } of members) {
    if (symlink !== undefined) stream.entry({ name, type: "symlink", linkname: symlink });
    else if (hardlink !== undefined) stream.entry({ name, type: "link", linkname: hardlink });
    else if (content === undefined) stream.entry({ name, type: "directory" });
    else stream.entry({ name }, typeof content === "string" ? content : Buffer.from(content));
  }
  stream.finalize();
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(new Uint8Array(piece as Uint8Array));
  return concatBytes(...pieces);
}

/** All bytes of a stream, whose pieces may be lent. */
export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece.slice());
  return concatBytes(...pieces);
}
