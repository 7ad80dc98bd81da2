/** What commands that go over all images say of those that cannot be read. */
import { LambdaImgError } from "../base/error.ts";
import type { UnreadableImage } from "../report/store-report.ts";
import type { Output } from "./output.ts";

/** A warning for each. */
export function warnUnreadable(images: readonly UnreadableImage[], output: Output): void {
  for (const { error } of images) output.warn(unreadableText(error));
}

/** What is wrong with an image: the message names it. */
export function unreadableText({ code, message }: LambdaImgError): string {
  return `${harmless(message)} (${code})`;
}

/** Members of the result; a name or manifest that is not known is left out. */
export function unreadableJson(images: readonly UnreadableImage[]): Record<string, unknown>[] {
  return images.map(({ name, manifestId, error: { code, kind, message } }) => ({
    ...(name === undefined ? {} : { name }),
    ...(manifestId === undefined ? {} : { manifest: manifestId }),
    code,
    kind,
    message,
  }));
}

/** Throws an error of the first one's code, if there is one: the result is said, and is not whole. */
export function throwUnreadable(images: readonly UnreadableImage[], imageCount: number): void {
  const [first, ...more] = images;
  if (first === undefined) return;
  const { code, details } = first.error;
  const name = harmless(String(details["image"]));
  const others = more.length === 0 ? "" : ` and ${more.length} more`;
  throw new LambdaImgError(code, `cannot read ${images.length} of ${imageCount} images: ${name}${others}`, {
    details: { ...details, unreadable: images.length },
    cause: first.error,
  });
}

/** A file among the refs can have any name, and its path is in the message. */
function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, "?");
}
