/** A store to try things on. */
import path from "node:path";

import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf, type Keyring } from "../../src/crypto/keyring.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { temporaryDirectory } from "./oci-layout.ts";

/** A store with a key, in a directory of its own. */
export interface TestStore {
  readonly directory: string;
  readonly store: DirectoryStore;
  readonly keyring: Keyring;
  close(): Promise<void>;
}

export async function openTestStore(): Promise<TestStore> {
  const { path: directory, remove } = temporaryDirectory();
  const store = await DirectoryStore.open(path.join(directory, "store"), { create: true });
  const keyring = keyringOf(asCustomerKey(new Uint8Array(32).fill(7)));
  return {
    directory,
    store,
    keyring,
    close: async () => {
      await store.close();
      remove();
    },
  };
}
