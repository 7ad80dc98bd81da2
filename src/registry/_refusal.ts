/** Answers that are refusals, by their status. */
import { LambdaImgError, type ErrorCode, type ErrorDetails } from "../base/error.ts";
import type { HttpResponse } from "./_exchange.ts";
import { parseRetryAfter } from "./retry.ts";
import { serverMessage } from "./_server-message.ts";

/** How a refusal is told. */
export interface RefusalText {
  /** What was asked for. */
  readonly what: string;
  readonly nowMs: number;
  /** What an absent thing is. */
  readonly notFoundCode?: ErrorCode;
  readonly details?: ErrorDetails;
  redact(text: string): string;
}

/** The error that an answer stands for; reads what it says and closes it. */
export async function refusal(response: HttpResponse, text: RefusalText): Promise<LambdaImgError> {
  const { status, url } = response;
  const message = await serverMessage(response);
  const said = text.redact(`${url.host} says: status ${status}${message === "" ? "" : `, ${message}`}`);
  const [code, words] = meaningOf(status, text.notFoundCode);
  const retryAfterMs = parseRetryAfter(response.header("retry-after"), text.nowMs);
  return new LambdaImgError(code, `${text.what}: ${words} (${said})`, {
    details: { ...text.details, status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  });
}

function meaningOf(
  status: number,
  notFoundCode: ErrorCode = "SOURCE_NOT_FOUND",
): readonly [ErrorCode, string] {
  if (status === 401) return ["REGISTRY_UNAUTHORIZED", "not authorized"];
  if (status === 403) return ["REGISTRY_FORBIDDEN", "access denied"];
  if (status === 404 || status === 410) return [notFoundCode, "not found"];
  if (status === 429) return ["REGISTRY_UNAVAILABLE", "too many requests"];
  if ([408, 425, 500, 502, 503, 504].includes(status)) return ["REGISTRY_UNAVAILABLE", "not available"];
  return ["REGISTRY_INVALID", "an answer that was not expected"];
}
