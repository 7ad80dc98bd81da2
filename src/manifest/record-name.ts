/** Names of records: what conversions keep in a store for later ones. docs/format/record.md. */

declare const recordName: unique symbol;

/** 64 lower-case hexadecimal digits. Derived with the customer's key in crypto/: who has it not learns nothing from a name. */
export type RecordName = string & { readonly [recordName]: true };

/** The record name that `text` is, or `undefined` where it has not the form of one. */
export function parseRecordName(text: string): RecordName | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? (text as RecordName) : undefined;
}
