/** Refs that cannot be read: each is told with the name of its image, and hides no other. */
import { copyFile, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { imageFileName } from "../../src/store/image-name.ts";
import type { ManifestId } from "../../src/manifest/manifest-id.ts";
import type { ListedRef } from "../../src/store/store.ts";
import { sampleContent } from "../support/manifest-sample.ts";
import { openTestStore, type TestStore } from "../support/test-store.ts";

const LONG = `B/${"x".repeat(300)}`;

let place: TestStore;
let manifestId: ManifestId;
beforeEach(async () => {
  place = await openTestStore();
  const { store, keyring } = place;
  manifestId = await store.putManifest(
    keyring.customerId,
    sealManifest(sampleContent(1), keyring.customerKey()),
  );
  for (const name of ["a", "b/B:1", "c", LONG]) await store.putRef(keyring.customerId, name, manifestId);
});
afterEach(() => place.close());

const fileOf = (imageName: string): string =>
  join(place.store.path, "roots/r0/refs", place.keyring.customerId, imageFileName(imageName));

const list = (): Promise<readonly ListedRef[]> => place.store.listRefs(place.keyring.customerId);

/** Name and code, or the manifest that it stands for. */
const shown = (refs: readonly ListedRef[]): (readonly [string, string])[] =>
  refs.map((ref) => [ref.imageName, "error" in ref ? ref.error.code : ref.manifestId]);

async function failureOf(imageName: string): Promise<unknown> {
  return place.store.getRef(place.keyring.customerId, imageName).catch((error: unknown) => error);
}

test.each<[string, (file: string) => Promise<unknown>, RegExp]>([
  ["cut short", (file) => truncate(file, 20), /expected JSON in UTF-8$/],
  ["empty", (file) => truncate(file, 0), /expected JSON in UTF-8$/],
  ["of another image", (file) => copyFile(fileOf("c"), file), /not the ref of an image$/],
  ["too large", (file) => truncate(file, 65_537), /expected at most 65536 bytes, found 65537$/],
  ["a loop of symlinks", async (file) => rm(file).then(() => symlink(file, file)), /: ELOOP$/],
  ["a directory", async (file) => rm(file).then(() => mkdir(file)), /expected a regular file$/],
])("a ref that is %s is told with its image and its file, beside the others", async (_, damage, text) => {
  const file = fileOf("b/B:1");
  await damage(file);
  const refs = await list();
  expect(shown(refs)).toEqual([
    [LONG, manifestId],
    ["a", manifestId],
    ["b/B:1", "STORE_INVALID"],
    ["c", manifestId],
  ]);
  const bad = refs.find((ref) => "error" in ref);
  const found = await failureOf("b/B:1");
  for (const error of [found, bad !== undefined && "error" in bad ? bad.error : undefined]) {
    if (!isLambdaImgError(error, "STORE_INVALID")) throw new Error(`found ${String(error)}`);
    expect(error.message).toMatch(text);
    expect(error.message.startsWith(`b/B:1: cannot read the ref: ${file}: `)).toBe(true);
    expect(error.details["image"]).toBe("b/B:1");
  }
});

test("a name that only the ref has is told where the ref still has it, else the file's", async () => {
  const file = fileOf(LONG);
  await writeFile(file, (await readFile(file, "utf8")).replace("sha256:", "sha255:"));
  expect(shown(await list())[0]).toEqual([LONG, "STORE_INVALID"]);
  await truncate(file, 20);
  const refs = shown(await list());
  expect(refs[0]).toEqual([imageFileName(LONG), "STORE_INVALID"]);
  expect(refs.length).toBe(4);
  // Who asks for the name is told of that name.
  expect(await failureOf(LONG)).toMatchObject({ code: "STORE_INVALID", details: { image: LONG } });
});

test.each(["README", "%4", "%61", "%ff", "a\nb", ".hidden", "ü"])(
  "a file %j, which no image name gives, is told by its own name",
  async (fileName) => {
    await writeFile(join(fileOf("a"), "..", fileName), '{"image":"a","manifest":"sha256:"}');
    const refs = await list();
    expect(refs.length).toBe(5);
    const [bad] = refs.filter((ref) => "error" in ref);
    expect(bad?.imageName).toBe(fileName === "a\nb" ? "a\\x0ab" : fileName);
  },
);

test("a ref that cannot be read hides one of a retired root, as a good one would", async () => {
  const { store, keyring } = place;
  const roots = join(store.path, "roots");
  const rootJson = await readFile(join(roots, "r0/root.json"), "utf8");
  await writeFile(join(roots, "r0/root.json"), rootJson.replace("active", "retired"));
  await mkdir(join(roots, "r1/refs", keyring.customerId), { recursive: true });
  await writeFile(join(roots, "r1/root.json"), rootJson.replace('"r0"', '"r1"'));
  await writeFile(join(roots, "r1/refs", keyring.customerId, "a"), "{");
  const reopened = await DirectoryStore.open(store.path, { create: false });
  expect(shown(await reopened.listRefs(keyring.customerId)).slice(1, 3)).toEqual([
    ["a", "STORE_INVALID"],
    ["b/B:1", manifestId],
  ]);
  await expect(reopened.getRef(keyring.customerId, "a")).rejects.toMatchObject({ code: "STORE_INVALID" });
  await reopened.close();
});
