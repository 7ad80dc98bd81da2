/** The contract of what holds a customer's key. */
import type { CustomerId } from "../manifest/customer-id.ts";
import { customerIdOf, type CustomerKey } from "./customer-key.ts";

/**
 * One customer's key. The id is that of the key and can be shown; the key is for crypto/ alone, never logged
 * and never in an error. Both are the same at every call.
 */
export interface Keyring {
  readonly customerId: CustomerId;
  customerKey(): CustomerKey;
}

/** A keyring that holds a key in memory. */
export function keyringOf(key: CustomerKey): Keyring {
  return { customerId: customerIdOf(key), customerKey: () => key };
}
