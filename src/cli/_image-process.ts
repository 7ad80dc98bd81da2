/** What a container of an image starts with, as its config and its own files say. */
import { utf8ByteString } from "../base/bytes.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { MIB } from "../base/units.ts";
import type { Ext4Reader } from "../ext4/reader.ts";
import type { RunRecord } from "../manifest/image-record.ts";

/** A user database larger than this is none. */
const DATABASE_BYTES_MAX: number = MIB;
const PATH_DEFAULT = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Names that the dynamic linker and the C library of a host's program would follow, too. */
const LINKER_VARIABLE = /^(?:LD_|GLIBC_TUNABLES=|LOCPATH=|GCONV_PATH=|MALLOC_|NLSPATH=)/;
const ENV_PROGRAMS = ["/usr/bin/env", "/bin/env"];

/** A process of an image. */
export interface ImageProcess {
  readonly words: readonly string[];
  readonly uid: number;
  readonly gid: number;
  readonly workingDirectory: string;
  /** `NAME=value`, safe for a program of the host to be started with. */
  readonly variables: readonly string[];
  /** Of the variables that the image wants, those that nothing can set. */
  readonly lostVariables: readonly string[];
}

/** What the user asks for instead of what the image says. */
export interface ProcessRequest {
  /** In place of the config's command; its entrypoint stays. */
  readonly words: readonly string[];
  /** In place of the config's entrypoint, and then of its command, too; an empty one in place of both. */
  readonly entrypoint: string | undefined;
}

/**
 * The process that the image's config and the request make together.
 * @throws USAGE_INVALID where there is no command; OCI_INVALID for a user that the image does not have; PATH_NOT_FOUND
 *   where its working directory is missing
 */
export async function planProcess(
  run: RunRecord,
  request: ProcessRequest,
  reader: Ext4Reader,
): Promise<ImageProcess> {
  const words = wordsOf(run, request);
  const user = await findUser(run.user, reader);
  const workingDirectory = run.workingDir === "" ? "/" : run.workingDir;
  await checkDirectory(workingDirectory, reader);
  const wanted = run.env.filter((variable) => /^[^=]+=/.test(variable));
  const has = (name: string): boolean => wanted.some((variable) => variable.startsWith(name));
  const plain = [
    ...(has("PATH=") ? [] : [PATH_DEFAULT]),
    ...(has("HOME=") ? [] : [`HOME=${user.home}`]),
    ...wanted.filter((variable) => !LINKER_VARIABLE.test(variable)),
  ];
  // A program of the host starts the image's: those variables have to come in between, by a program of the image.
  const linked = wanted.filter((variable) => LINKER_VARIABLE.test(variable));
  const setter = linked.length === 0 ? undefined : await findEnvProgram(reader);
  return {
    words: setter === undefined ? words : [setter, ...linked, ...words],
    uid: user.uid,
    gid: user.gid,
    workingDirectory,
    variables: plain,
    lostVariables: setter === undefined ? linked.map((variable) => variable.split("=", 1)[0] ?? "") : [],
  };
}

function wordsOf(run: RunRecord, { words, entrypoint }: ProcessRequest): readonly string[] {
  const found =
    entrypoint === undefined
      ? [...run.entrypoint, ...(words.length > 0 ? words : run.cmd)]
      : [entrypoint, ...words].slice(entrypoint === "" ? 1 : 0);
  if (found.length > 0) return found;
  throw new LambdaImgError("USAGE_INVALID", "the image has no command of its own: expected one after --");
}

interface User {
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** image-spec config.md, "User": `user`, `uid`, `user:group`, `uid:gid`, `uid:group`, `user:gid`. */
async function findUser(text: string, reader: Ext4Reader): Promise<User> {
  const [userText = "", groupText] = text === "" ? ["0"] : text.split(":");
  const row = (await rowsOf("/etc/passwd", reader)).find(
    ([name, , uid]) => name === userText || (isNumber(userText) && Number(uid) === Number(userText)),
  );
  if (row === undefined && !isNumber(userText)) throw noSuch("user", userText, "/etc/passwd");
  const uid = isNumber(userText) ? userText : (row?.[2] ?? "");
  const gid = groupText === undefined ? (row?.[3] ?? "0") : await findGroup(groupText, reader);
  if (!isNumber(uid)) throw noSuch("user", userText, "/etc/passwd");
  if (!isNumber(gid)) throw noSuch("group", groupText ?? gid, "/etc/group");
  return { uid: Number(uid), gid: Number(gid), home: row?.[5] === undefined || row[5] === "" ? "/" : row[5] };
}

async function findGroup(text: string, reader: Ext4Reader): Promise<string> {
  if (isNumber(text)) return text;
  const row = (await rowsOf("/etc/group", reader)).find(([name]) => name === text);
  return row?.[2] ?? "";
}

/** Of 32 bits; the last of them means "none" to the kernel. */
function isNumber(text: string): boolean {
  return /^[0-9]{1,10}$/.test(text) && Number(text) < 0xffff_ffff;
}

/** The rows of passwd(5) or group(5) in the image; none where there is no such file. */
async function rowsOf(path: string, reader: Ext4Reader): Promise<readonly (readonly string[])[]> {
  const found = await lookup(path, reader);
  if (found?.inode.type !== "file" || found.inode.sizeBytes > DATABASE_BYTES_MAX) return [];
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of reader.readFile(found.inode)) text += decoder.decode(piece, { stream: true });
  return text.split("\n").map((line) => line.split(":"));
}

async function checkDirectory(path: string, reader: Ext4Reader): Promise<void> {
  const found = await lookup(path, reader);
  if (found?.inode.type === "dir") return;
  throw new LambdaImgError(
    "PATH_NOT_FOUND",
    `${JSON.stringify(path)}: expected the image's working directory, found none`,
  );
}

async function findEnvProgram(reader: Ext4Reader): Promise<string | undefined> {
  for (const path of ENV_PROGRAMS) if ((await lookup(path, reader))?.inode.type === "file") return path;
  return undefined;
}

async function lookup(
  path: string,
  reader: Ext4Reader,
): Promise<Awaited<ReturnType<Ext4Reader["lookup"]>> | undefined> {
  try {
    return await reader.lookup(utf8ByteString(path), { followLast: true });
  } catch (error) {
    if (isLambdaImgError(error, "PATH_NOT_FOUND")) return undefined;
    throw error;
  }
}

function noSuch(what: string, name: string, path: string): LambdaImgError {
  return new LambdaImgError("OCI_INVALID", `the image has no ${what} ${JSON.stringify(name)} in its ${path}`);
}
