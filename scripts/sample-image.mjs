// Writes fixtures/images/sample: a small OCI layout with what images are made of (two layers, one of them gzip;
// a whiteout, a replaced file, hard and symbolic links, an extended attribute, a sparse file). Needs a build.
// The fixture is committed; run this only to change it, and read the difference.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { encodeTarEntry, TAR_END, tarPadding } from "../dist/tar/writer.js";

const layout = new URL("../fixtures/images/sample/", import.meta.url);
const blobs = new URL("blobs/sha256/", layout);
const MTIME = { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

function tar(entries) {
  const parts = entries.flatMap(({ body = Buffer.alloc(0), ...fields }) => {
    const entry = {
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: MTIME,
      sizeBytes: body.length,
      linkTarget: "",
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: undefined,
      sparseRegions: undefined,
      ...fields,
    };
    return [encodeTarEntry(entry), body, tarPadding(body.length)];
  });
  return Buffer.concat([...parts, TAR_END]);
}

const text = (path, body, fields = {}) => ({ path, body: Buffer.from(body), ...fields });
const dir = (path, fields = {}) => ({ path, type: "dir", mode: 0o755, ...fields });

function put(bytes) {
  const hex = createHash("sha256").update(bytes).digest("hex");
  writeFileSync(new URL(hex, blobs), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

const base = tar([
  dir("./"),
  dir("bin/"),
  dir("etc/"),
  dir("home/"),
  dir("tmp/", { mode: 0o1777 }),
  dir("usr/"),
  dir("usr/lib/"),
  dir("var/"),
  text("etc/os-release", 'NAME="Sample"\nID=sample\nVERSION_ID=1\n'),
  text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
  text("etc/motd", "removed by the next layer\n"),
  text("bin/greet", "#!/bin/sh\ncat /etc/os-release\n", { mode: 0o755 }),
  { path: "bin/hello", type: "hardlink", linkTarget: "bin/greet" },
  { path: "lib", type: "symlink", mode: 0o777, linkTarget: "usr/lib" },
  { path: "var/pipe", type: "fifo", mode: 0o600 },
]);
const app = tar([
  dir("etc/"),
  text("etc/.wh.motd", ""),
  text("etc/os-release", 'NAME="Sample"\nID=sample\nVERSION_ID=2\n'),
  dir("home/app/", { uid: 1000, gid: 1000 }),
  text("home/app/notes.txt", "written by the application layer\n", {
    uid: 1000,
    gid: 1000,
    xattrs: new Map([["user.origin", Buffer.from("sample")]]),
  }),
  text("lib/libsample.txt", "lands in usr/lib: the entry's parent is a symbolic link of the layer below\n"),
  {
    path: "var/sparse.img",
    body: Buffer.alloc(4096, "x"),
    sizeBytes: 64 * 1024 * 1024,
    sparseRegions: [{ offsetBytes: 32 * 1024 * 1024, sizeBytes: 4096 }],
  },
]);

rmSync(layout, { recursive: true, force: true });
mkdirSync(blobs, { recursive: true });
const layers = [
  { mediaType: "application/vnd.oci.image.layer.v1.tar", ...put(base) },
  { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(gzipSync(app, { level: 9 })) },
];
const diffIds = [base, app].map((bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
const document = (value) => put(Buffer.from(JSON.stringify(value)));
const platforms = ["amd64", "arm64"].map((architecture) => {
  const config = document({
    architecture,
    os: "linux",
    config: {
      User: "app",
      WorkingDir: "/home/app",
      Env: ["PATH=/bin"],
      Cmd: ["/bin/greet"],
      Labels: { sample: "yes" },
    },
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = document({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers,
  });
  return { mediaType, ...manifest, platform: { architecture, os: "linux" } };
});
const indexType = "application/vnd.oci.image.index.v1+json";
const index = document({ schemaVersion: 2, mediaType: indexType, manifests: platforms });
const top = {
  schemaVersion: 2,
  manifests: [
    { mediaType: indexType, ...index, annotations: { "org.opencontainers.image.ref.name": "latest" } },
  ],
};
writeFileSync(new URL("oci-layout", layout), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
writeFileSync(new URL("index.json", layout), JSON.stringify(top));
