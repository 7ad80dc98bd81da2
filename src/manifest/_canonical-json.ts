/** JSON with one form for each value: RFC 8785, for the values that a manifest holds. */

type Json = string | number | readonly Json[] | { readonly [key: string]: Json };

/** No white space; keys (all ASCII here) in byte order; strings escaped as RFC 8785 3.2.2.2; numbers whole. */
export function canonicalJson(value: Json): string {
  if (typeof value === "string" || typeof value === "number") return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
