/** Exceptions to the checks, each with its reason. A check refuses an exception that it no longer needs. */

/** Exports of src/ that only tests use: `file#name` to reason. */
export const TEST_ONLY_EXPORTS: Readonly<Record<string, string>> = {
  "src/convert/convert-image.ts#showSizeRequest": "its form is part of the manifest's format",
};

/** A word that the glossary advises against, where it is another document's own term. */
export interface AllowedWord {
  /** A file or folder of src/ (folders end in `/`). */
  readonly where: string;
  readonly word: string;
  readonly reason: string;
}

/** Applied to names declared in src/. */
export const ALLOWED_WORDS: readonly AllowedWord[] = [
  { where: "src/oci/", word: "volumes", reason: "a field of the OCI image config" },
  { where: "src/crypto/", word: "info", reason: "a parameter of HKDF (RFC 5869)" },
  { where: "src/ext4/", word: "hash", reason: "ext4's directory hash is no digest" },
  { where: "src/ext4/", word: "data", reason: "s_first_data_block, i_data and others of the ext4 layout" },
  { where: "src/ext4/", word: "volume", reason: "s_volume_name of the ext4 layout" },
  { where: "src/ext4/crc32c.ts", word: "slice", reason: "the algorithm is named slicing-by-N" },
  { where: "src/manifest/", word: "volumes", reason: "a field of the OCI image config" },
];
