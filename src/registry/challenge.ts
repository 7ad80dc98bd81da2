/** Challenges of a server that wants to know who asks: the WWW-Authenticate field (RFC 7235 2.1, 4.1). */
import { LambdaImgError } from "../base/error.ts";

/** One challenge. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** By name in lower case; empty where the scheme has a token68 or nothing. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Reads a field's challenges; several fields of that name are one with commas between (RFC 7230 3.2.2).
 * @throws REGISTRY_INVALID
 */
export function parseChallenges(field: string): readonly Challenge[] {
  const scanner = new Scanner(field);
  const challenges: Challenge[] = [];
  for (;;) {
    scanner.take(/[\s,]*/y);
    if (scanner.isAtEnd()) return challenges;
    const scheme = scanner.take(TOKEN);
    if (scheme === undefined) throw invalid("expected the name of a scheme");
    challenges.push({ scheme: scheme.toLowerCase(), parameters: takeParameters(scanner) });
  }
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
/** A parameter up to its value. What follows must not be the padding of a token68. */
const PARAMETER_START = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?=[^\s=,])/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/sy;
/** More than a token: registries leave out quotes where there is a colon or a slash. */
const UNQUOTED = /[^\s,"]+/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)/y;

function takeParameters(scanner: Scanner): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  if (scanner.take(/[ \t]+/y) === undefined) return parameters;
  for (let isFirst = true; ; isFirst = false) {
    const name = scanner.takeGroup(PARAMETER_START)?.toLowerCase();
    if (name === undefined) {
      // A token68 stands alone after its scheme; elsewhere what comes is the next challenge.
      if (isFirst) scanner.take(TOKEN68);
      return parameters;
    }
    const quoted = scanner.takeGroup(QUOTED)?.replace(/\\(.)/gs, "$1");
    const value = quoted ?? scanner.take(UNQUOTED);
    if (value === undefined) throw invalid(`the parameter ${name} has no value`);
    if (parameters.has(name)) throw invalid(`the parameter ${name} stands twice`);
    parameters.set(name, value);
    scanner.take(/[ \t]*/y);
    if (scanner.isAtEnd()) return parameters;
    if (scanner.take(/,[\s,]*/y) === undefined) throw invalid(`expected a comma after ${name}`);
  }
}

/** A text that is read from its start; every pattern is sticky, so that no part is looked at again and again. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** What the pattern matches here, taken. */
  take(pattern: RegExp): string | undefined {
    return this.#match(pattern)?.[0];
  }

  /** The first group of what the pattern matches here, all of it taken. */
  takeGroup(pattern: RegExp): string | undefined {
    return this.#match(pattern)?.[1];
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }
}

function invalid(why: string): LambdaImgError {
  return new LambdaImgError("REGISTRY_INVALID", `invalid WWW-Authenticate field: ${why}`);
}
