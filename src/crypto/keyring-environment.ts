/** A customer key that comes as text, as an environment variable does. */
import { LambdaImgError } from "../base/error.ts";
import { parseCustomerKey } from "./customer-key.ts";
import { keyringOf, type Keyring } from "./keyring.ts";

/**
 * Reads a key of 32 bytes in base64. `variable` is the name of the environment variable, for the message.
 * @throws KEY_INVALID; the message never quotes the text
 */
export function openKeyringEnvironment(source: {
  readonly variable: string;
  readonly value: string;
}): Keyring {
  const key = parseCustomerKey(source.value);
  if (key === undefined) {
    throw new LambdaImgError(
      "KEY_INVALID",
      `${source.variable}: invalid key: expected 32 bytes in base64 (44 characters), found ${source.value.length} characters`,
    );
  }
  return keyringOf(key);
}
