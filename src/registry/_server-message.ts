/** What a server says of an error, made fit to be shown. */
import type { HttpResponse } from "./_exchange.ts";
import { objectsIn, parseObject, stringIn } from "./_json.ts";
import { ERROR_BODY_BYTES_MAX, SERVER_MESSAGE_LENGTH_MAX } from "./_limit.ts";

/**
 * The messages in an error's body (distribution-spec, "Error Codes"; RFC 6749 5.2), as one line; empty where there
 * are none. Reads the body to a limit and closes the response.
 */
export async function serverMessage(response: HttpResponse): Promise<string> {
  const body = parseObject(await readStart(response));
  if (body === undefined) return "";
  const errors = objectsIn(body, "errors").map((error) =>
    [stringIn(error, "code"), stringIn(error, "message")].filter((part) => part !== undefined && part !== ""),
  );
  const single = [stringIn(body, "error"), stringIn(body, "error_description") ?? stringIn(body, "details")];
  const parts = errors.length > 0 ? errors : [single.filter((part) => part !== undefined && part !== "")];
  return showLine(parts.map((part) => part.join(": ")).join("; "));
}

async function readStart(response: HttpResponse): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let sizeBytes = 0;
  try {
    for await (const piece of response.body) {
      sizeBytes += piece.length;
      text += decoder.decode(piece, { stream: true });
      if (sizeBytes >= ERROR_BODY_BYTES_MAX) break;
    }
  } catch {
    // The status is the error; that its explanation did not arrive takes nothing from it.
  } finally {
    response.close();
  }
  return text;
}

/** Nothing that could move a terminal's cursor, or that hides. */
function showLine(text: string): string {
  const plain = text.replace(/[\p{C}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
  return plain.length > SERVER_MESSAGE_LENGTH_MAX ? `${plain.slice(0, SERVER_MESSAGE_LENGTH_MAX)}…` : plain;
}
