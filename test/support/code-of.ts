/** What work fails with. */
import { isLambdaImgError } from "../../src/base/error.ts";

/** The code that `work` fails with, or "no failure". */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "no failure";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}
