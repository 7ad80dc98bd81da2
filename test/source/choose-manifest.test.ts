import { expect, test } from "vitest";

import { parseDigest, sha256Digest, type Digest } from "../../src/base/digest.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { checkDigest, checkPlatform, chooseImage } from "../../src/source/choose-manifest.ts";

/** Documents by digest, as a registry has them. */
class Documents {
  readonly readDigests: Digest[] = [];
  readonly #documents = new Map<Digest, Uint8Array>();

  add(document: object, mediaType: string, platform?: string): Descriptor {
    const bytes = new TextEncoder().encode(JSON.stringify(document));
    const digest = sha256Digest(bytes);
    this.#documents.set(digest, bytes);
    const sizeBytes = bytes.length;
    return {
      mediaType,
      digest,
      sizeBytes,
      platform: platform === undefined ? undefined : parsePlatform(platform),
      annotations: new Map(),
    };
  }

  image(platform: string): Descriptor {
    const { os, architecture } = parsePlatform(platform);
    const config = this.add(
      { os, architecture, rootfs: { type: "layers", diff_ids: [] } },
      "application/vnd.oci.image.config.v1+json",
    );
    return this.add(
      { schemaVersion: 2, config: jsonOf(config), layers: [] },
      "application/vnd.oci.image.manifest.v1+json",
      platform,
    );
  }

  readonly read = (descriptor: Descriptor): Promise<Uint8Array> => {
    this.readDigests.push(descriptor.digest);
    return Promise.resolve(this.#documents.get(descriptor.digest) ?? new Uint8Array(0));
  };
}

function jsonOf(descriptor: Descriptor): object {
  const { mediaType, digest, sizeBytes } = descriptor;
  return { mediaType, digest, size: sizeBytes };
}

const choice = { platform: undefined, defaultPlatform: parsePlatform("linux/arm64") };

test("only documents on the way to the image are read", async () => {
  const documents = new Documents();
  const [amd64, arm64] = [documents.image("linux/amd64"), documents.image("linux/arm64")];
  const options = { choice, read: documents.read, label: "X" };
  const chosen = await chooseImage([amd64, arm64], options);
  expect(chosen.digest).toBe(arm64.digest);
  expect(documents.readDigests).toEqual([arm64.digest, chosen.manifest.config.digest]);
});

test("a platform above the wanted one is not taken, the nearest below is", async () => {
  const documents = new Documents();
  const images = ["linux/amd64/v4", "linux/amd64", "linux/amd64/v2"].map((platform) =>
    documents.image(platform),
  );
  const wanted = { ...choice, platform: parsePlatform("linux/amd64/v3") };
  const chosen = await chooseImage(images, { choice: wanted, read: documents.read, label: "X" });
  expect(chosen.digest).toBe(images[2]?.digest);
});

test("a document that is not what its descriptor says is refused", async () => {
  const documents = new Documents();
  const image = documents.image("linux/arm64");
  const other = parseDigest(`sha256:${"0".repeat(64)}`, "test");
  const options = { choice, label: "X", read: () => documents.read(image) };
  await expect(chooseImage([{ ...image, digest: other }], options)).rejects.toMatchObject({
    code: "DIGEST_MISMATCH",
  });
  await expect(chooseImage([{ ...image, sizeBytes: 1 }], options)).rejects.toMatchObject({
    code: "SIZE_MISMATCH",
  });
});

test("a digest is checked with its own algorithm", () => {
  const empty = parseDigest(
    "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    "test",
  );
  checkDigest(new Uint8Array(0), empty, "X");
  expect(() => {
    checkDigest(Uint8Array.of(1), empty, "X");
  }).toThrow(expect.objectContaining({ code: "DIGEST_MISMATCH" }));
});

test("a platform counts only where it is asked for", () => {
  const found = parsePlatform("linux/s390x");
  checkPlatform(found, choice, "X");
  expect(() => {
    checkPlatform(found, { ...choice, platform: parsePlatform("linux/arm64") }, "X");
  }).toThrow(expect.objectContaining({ code: "PLATFORM_NOT_FOUND" }));
});
