/**
 * References to images: `oci:DIR[:TAG|@digest]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME[:TAG]]`, and
 * those in registries as docker has them, `[docker://][HOST[:PORT]/]NAME[:TAG][@digest]`.
 */
import { parseDigest, type Digest } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";
import { parseRegistryReference, type RegistryReference } from "../registry/reference.ts";

/** Where an image is to be found, parsed. `text` is what the user wrote. */
export type ImageReference =
  | {
      readonly kind: "oci";
      readonly text: string;
      readonly path: string;
      readonly tag?: string;
      readonly digest?: Digest;
    }
  | { readonly kind: "oci-archive"; readonly text: string; readonly path: string; readonly tag?: string }
  | { readonly kind: "docker-archive"; readonly text: string; readonly path: string; readonly name?: string }
  | ({ readonly kind: "registry"; readonly text: string } & RegistryReference);

/**
 * Reads a reference as skopeo does: the first colon after the kind's ends the path, what follows may have more. What
 * has no kind is in a registry.
 * @throws REFERENCE_INVALID; SOURCE_KIND_UNSUPPORTED for skopeo's other kinds
 */
export function parseImageReference(text: string): ImageReference {
  const match = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(text);
  const kind = match?.[1];
  const rest = match?.[2] ?? "";
  if (text.trim() === "") throw invalid(text, "it is empty");
  if (kind === undefined) return parseOther(text);
  if (kind === "oci") return parseLayoutReference(text, rest);
  const { path, tail } = splitPath(text, rest);
  if (kind === "oci-archive") return { kind, text, path, ...(tail === undefined ? {} : { tag: tail }) };
  return { kind: "docker-archive", text, path, ...(tail === undefined ? {} : { name: tail }) };
}

/**
 * The name an image gets where the user gives none: the last part of its repository, directory or archive, less what
 * says that it is an archive, with the tag if there is one; for docker-archive the name asked for.
 */
export function defaultImageName(reference: ImageReference): string {
  if (reference.kind === "docker-archive" && reference.name !== undefined) return reference.name;
  const isInRegistry = reference.kind === "registry";
  const name = isInRegistry ? reference.repository.replace(/^.*\//, "") : fileStem(reference.path);
  return "tag" in reference ? `${name}:${reference.tag}` : name;
}

function fileStem(path: string): string {
  const last = path.split("/").findLast((part) => part !== "" && part !== "." && part !== "..");
  const stem = last?.replace(/(?:\.(?:tar|tar\.gz|tgz|tar\.zst|tzst|oci))+$/, "");
  return stem === undefined || stem === "" ? "image" : stem;
}

function parseOther(text: string): ImageReference {
  const other = /^(docker-daemon|containers-storage|ostree|sif|tarball|dir):/.exec(text)?.[1];
  if (other !== undefined) throw unsupportedKind(text, other);
  refuseLogin(text);
  return { kind: "registry", text, ...parseRegistryReference(text.replace(/^docker:\/\//, "")) };
}

/** A login as in a URL is not taken, and not shown: what is before its `@` can be a password. */
function refuseLogin(text: string): void {
  const login = /^(.*)@/s.exec(text.replace(/@[\w+.-]+:[^/@]*$/, ""))?.[1];
  if (login === undefined) return;
  throw invalid(
    `...${text.slice(login.length)}`,
    "what follows its @ is no digest; a login goes into --username and --password-stdin",
  );
}

function parseLayoutReference(text: string, rest: string): ImageReference {
  const match = /^(.*)@([a-z0-9]+:[^/@]*)$/s.exec(rest);
  if (match === null) {
    const { path, tail } = splitPath(text, rest);
    return { kind: "oci", text, path, ...(tail === undefined ? {} : { tag: tail }) };
  }
  const { path, tail } = splitPath(text, match[1] ?? "");
  if (tail !== undefined) throw invalid(text, "it has both a tag and a digest; give one");
  return { kind: "oci", text, path, digest: referenceDigest(text, match[2] ?? "") };
}

function referenceDigest(text: string, digest: string): Digest {
  try {
    return parseDigest(digest, `reference ${JSON.stringify(text)}`);
  } catch (cause) {
    // What a user types is no OCI document: the same words, but as wrong usage.
    const message = cause instanceof LambdaImgError ? cause.message : String(cause);
    throw new LambdaImgError("REFERENCE_INVALID", message, { cause });
  }
}

function splitPath(text: string, rest: string): { readonly path: string; readonly tail: string | undefined } {
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tail = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path === "") throw invalid(text, "its path is empty");
  if (tail === "") throw invalid(text, "nothing follows the colon after the path");
  if (/[\x00-\x1f\x7f]/.test(rest)) throw invalid(text, "it has control characters");
  return { path, tail };
}

function invalid(text: string, why: string): LambdaImgError {
  return new LambdaImgError("REFERENCE_INVALID", `invalid reference ${JSON.stringify(text)}: ${why}`);
}

function unsupportedKind(text: string, kind: string): LambdaImgError {
  return new LambdaImgError(
    "SOURCE_KIND_UNSUPPORTED",
    `unsupported reference ${JSON.stringify(text)}: unsupported kind ${kind}; expected oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or [HOST/]NAME[:TAG]`,
  );
}
