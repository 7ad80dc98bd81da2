import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { askCredentialProgram } from "../../src/registry/credential-program.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

const folder = temporaryDirectory();
afterAll(() => {
  folder.remove();
});

// The usual folders only: in one that may not be entered, every program looks forbidden instead of absent.
const variables = { PATH: `${folder.path}:/usr/local/bin:/usr/bin:/bin` };

function program(name: string, script: string): void {
  const file = path.join(folder.path, `docker-credential-${name}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

function ask(
  name: string,
  more: { timeoutMs?: number; signal?: AbortSignal } = {},
): ReturnType<typeof askCredentialProgram> {
  const { signal, ...question } = more;
  const full = { program: name, server: "r.example:5000", where: "config.json", ...question };
  return askCredentialProgram(full, variables, signal);
}

describe("a program", () => {
  test("is given the server's name, and answers", async () => {
    program(
      "good",
      `read server; printf '{"ServerURL":"%s","Username":"%s","Secret":"s p\\u00f6"}' "$server" "$1-$server"`,
    );
    expect(await ask("good")).toEqual({ username: "get-r.example:5000", secret: "s pö" });
  });

  test("may leave one running that holds its stdout", async () => {
    const file = path.join(folder.path, "pid");
    program("agent", `sleep 60 & echo $! > '${file}'; printf '{"Username":"a","Secret":"b"}'`);
    expect(await ask("agent", { timeoutMs: 20_000 })).toEqual({ username: "a", secret: "b" });
    process.kill(Number(readFileSync(file, "utf8"))); // It is the agent's user who ends it.
  });

  test("that knows no login says so", async () => {
    program("none", "echo credentials not found in native keychain; exit 1");
    expect(await ask("none")).toBeUndefined();
    program("empty", `printf '{"ServerURL":"","Username":"","Secret":""}'`);
    expect(await ask("empty")).toBeUndefined();
  });

  test.each([
    [
      "fails",
      "echo the keychain is locked; exit 3",
      /docker-credential-fails failed \(status 3\): the keychain is locked/,
    ],
    ["leaks", `printf '{"Secret":"hidden-4711"}'; exit 1`, /failed \(status 1\)$/],
    ["terminal", `printf 'a\\033[2Jb'; exit 1`, /: a \[2Jb$/],
    ["text", "echo hidden-4711", /did not answer with Username and Secret$/],
    ["half", `echo '{"Username":"a"}'`, /did not answer/],
    ["loud", "yes", /prints too much$/],
    ["killed", "kill -9 $$", /failed \(status -1\)/],
  ])("that %s is refused", async (name, script, message) => {
    program(name, script);
    const error: unknown = await ask(name).catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "CREDENTIALS_INVALID",
      message: expect.stringMatching(message) as string,
    });
    expect(String(error)).not.toContain("hidden-4711");
  });

  test("whose file is a link to itself cannot be run", async () => {
    symlinkSync("docker-credential-loop", path.join(folder.path, "docker-credential-loop"));
    await expect(ask("loop")).rejects.toMatchObject({
      code: "CREDENTIALS_INVALID",
      message: expect.stringMatching(/docker-credential-loop cannot be run \(ELOOP\)$/) as string,
    });
  });

  test("that hangs is ended, though its children hold its output", async () => {
    program("hangs", "sleep 3 & read server; read more; wait");
    await expect(ask("hangs", { timeoutMs: 100 })).rejects.toThrow(
      /docker-credential-hangs did not answer for 0.1 s/,
    );
  });

  test("that does not read its input answers all the same", async () => {
    program("deaf", `exec <&-; echo '{"Username":"a","Secret":"b"}'`);
    expect(await ask("deaf")).toEqual({ username: "a", secret: "b" });
  });

  test("that is not there is named", async () => {
    await expect(ask("absent")).rejects.toThrow(
      "credentials: config.json: docker-credential-absent is not installed",
    );
  });

  test.each(["../good", "/bin/sh", "a b", "", "-x", "a;touch x", "a\u0000b"])(
    "cannot be called %j",
    async (name) => {
      await expect(ask(name)).rejects.toMatchObject({ code: "CREDENTIALS_INVALID" });
    },
  );

  test("is run by no shell", async () => {
    program("$(touch here)", "exit 0");
    await expect(ask("$(touch here)")).rejects.toMatchObject({ code: "CREDENTIALS_INVALID" });
    expect(existsSync("here")).toBe(false);
  });

  test("is ended when the user cancels", async () => {
    program("slow", "read server; sleep 3");
    const abort = new AbortController();
    const asked = ask("slow", { signal: abort.signal });
    abort.abort();
    await expect(asked).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(ask("slow", { signal: abort.signal })).rejects.toMatchObject({ code: "CANCELLED" });
  });
});
