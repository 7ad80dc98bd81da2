/** `lambda-img run`: the image's own command, as its config says. */
import { execFileSync, spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Readable, Writable } from "node:stream";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, errorOf, isBuilt, jsonOf, type CliResult } from "../support/cli-run.ts";
import { describeWith } from "../support/judge.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";

const BIN = path.resolve(import.meta.dirname, "../../bin/lambda-img");
/** What the process says of itself, with the shell's own means. */
const REPORT = `
while read -r key value rest; do case $key in Uid:|Gid:|Groups:) echo "$key $value";; esac; done < /proc/self/status
echo "cwd $PWD home $HOME path $PATH greeting $GREETING preload $LD_BIND_NOW args $*"
`;

/** This machine's shell and what it is linked with, in an image. */
function writeShell(folder: string): void {
  const shell = realpathSync("/bin/sh");
  const linked = execFileSync("ldd", [shell], { encoding: "utf8" }).matchAll(/(?:=> )?(\/\S+) \(0x/g);
  const tar = tarBuilder();
  tar.file("bin/sh", readFileSync(shell), { mode: 0o755 });
  for (const [, file = ""] of linked) tar.file(file.slice(1), readFileSync(file), { mode: 0o755 });
  tar.file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1234:77::/home/app:/bin/sh\n");
  tar.file("etc/group", "root:x:0:\nstaff:x:88:\n");
  tar.file("etc/resolv.conf", "");
  tar.file("srv/report", REPORT);
  const layers = [{ tar: tar.end() }];
  const common = { WorkingDir: "/srv", Entrypoint: ["/bin/sh"], Cmd: ["/srv/report", "one", "two words"] };
  const env = ["GREETING=hello there", "LD_BIND_NOW=1"];
  writeLayout(path.join(folder, "named"), [{ layers, run: { ...common, Env: env, User: "app" } }]);
  // The others have no place for /proc and /dev: one is made for them.
  const places = { tar: tarBuilder().dir("proc").dir("dev").end() };
  const whole = { layers: [...layers, places], run: { ...common, User: "5:6" } };
  writeLayout(path.join(folder, "numbered"), [whole]);
  const program = {
    tar: tarBuilder().file("usr/bin/env", readFileSync("/usr/bin/env"), { mode: 0o755 }).end(),
  };
  const withProgram = { layers: [...layers, program], run: { ...common, Env: env } };
  writeLayout(path.join(folder, "linked"), [withProgram]);
  writeLayout(path.join(folder, "group"), [{ layers, run: { ...common, User: "app:staff" } }]);
  writeLayout(path.join(folder, "stranger"), [{ layers, run: { ...common, User: "nobody-here" } }]);
  writeLayout(path.join(folder, "lost"), [{ layers, run: { ...common, WorkingDir: "/no/where" } }]);
  writeLayout(path.join(folder, "mute"), [{ layers, run: {} }]);
}

describe.skipIf(!isBuilt)("lambda-img run (needs npm run build)", () => {
  let home: CliHome;
  let runtime: string;
  const cli = (...args: readonly string[]): Promise<CliResult> =>
    home.run(args, { env: { XDG_RUNTIME_DIR: runtime } });

  beforeAll(async () => {
    home = new CliHome();
    runtime = path.join(home.path, "run");
    mkdirSync(runtime, { recursive: true });
    writeShell(home.path);
    for (const name of ["named", "numbered", "linked", "group", "stranger", "lost", "mute"]) {
      jsonOf(await cli("convert", `oci:${name}`, "--json"));
    }
  });
  afterAll(() => {
    home.remove();
  });

  const leftovers = (): string[] => readdirSync(path.join(runtime, "lambda-img"));

  describeWith(["mount", "nbdfuse"], "on this machine", () => {
    test("runs entrypoint and command with the config's user, environment and working directory", async () => {
      const { status, stdout, stderr } = await cli("run", "named", "-q");
      expect({ status, lines: stdout.split("\n") }).toEqual({
        status: 0,
        lines: [
          "Uid: 1234",
          "Gid: 77",
          "Groups: ",
          "cwd /srv home /home/app path /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin greeting hello there preload  args one two words",
          "",
        ],
      });
      // The image has no env program, and the host's programs shall not follow such a variable.
      expect(stderr).toContain("LD_BIND_NOW");
      expect(leftovers()).toEqual([]);
    });

    test("sets what a dynamic linker obeys with the image's own env program", async () => {
      const { stdout, stderr } = await cli("run", "linked");
      expect(stdout).toContain("greeting hello there preload 1 args one two words\n");
      expect(stderr).not.toContain("LD_BIND_NOW");
    });

    test.each([
      ["numbered", "Uid: 5\nGid: 6\n"],
      ["group", "Uid: 1234\nGid: 88\n"],
    ])("finds the user of %s", async (name, expected) => {
      expect((await cli("run", name)).stdout).toContain(expected);
    });

    test.each([
      [0, ["numbered", "--", "-c", "exit 0"]],
      [7, ["numbered", "--", "-c", "exit 7"]],
      [143, ["numbered", "--", "-c", "kill -TERM $$"]],
      [127, ["numbered", "--entrypoint", "/no/such/program"]],
    ])("ends with the status of the command, %i: %j", async (status, args) => {
      expect((await cli("run", ...args)).status).toBe(status);
      expect(leftovers()).toEqual([]);
    });

    test("has a process namespace and mounts of its own, and a writable disk that is gone afterwards", async () => {
      const script =
        "echo >/new && [ -e /new ] && echo $$ && echo /proc/[0-9]* && echo x >/dev/null && echo /dev/*";
      const { stdout } = await cli("run", "mute", "--entrypoint", "/bin/sh", "--", "-c", script);
      expect(stdout).toMatch(/^(\d+)\n\/proc\/1 \/proc\/\1\n/);
      expect(stdout).toContain("/dev/full /dev/null");
      const plain = await cli("run", "mute", "--entrypoint", "", "--", "/bin/sh", "-c", "echo $0", "me");
      expect(plain.stdout).toBe("me\n");
      const again = await cli("run", "mute", "--entrypoint", "/bin/sh", "--", "-c", "[ -e /new ]");
      expect(again.status).toBe(1);
      expect(readFileSync("/proc/mounts", "utf8")).not.toContain(home.path);
    });

    test("without an overlay the disk is read-only", async () => {
      const { status, stderr } = await cli("run", "numbered", "--overlay", "none", "--", "-c", "echo >/new");
      expect([status, stderr]).toEqual([2, expect.stringContaining("Read-only file system")]);
    });

    const runScript = (script: string): ChildProcessByStdio<Writable, Readable, null> =>
      spawn(process.execPath, [BIN, "run", "numbered", "-q", "--", "-c", script], {
        cwd: home.path,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home.path,
          XDG_DATA_HOME: path.join(home.path, "share"),
          XDG_CONFIG_HOME: path.join(home.path, "config"),
          XDG_RUNTIME_DIR: runtime,
        },
        stdio: ["pipe", "pipe", "inherit"],
      });

    test("passes stdin on, and signals", async () => {
      const child = runScript(
        'trap "echo caught; exit 3" TERM; echo ready; read line; echo "$line"; read more',
      );
      const closed = once(child, "close");
      let stdout = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text;
        if (text === "ready\n") child.stdin.write("a line\n");
        // The shell acts on a signal when its read has ended.
        if (text === "a line\n") child.kill("SIGTERM");
      });
      expect(await closed).toEqual([3, null]);
      expect(stdout).toBe("ready\na line\ncaught\n");
      expect(leftovers()).toEqual([]);
    });

    test("leaves stdin as it was after a signal", async () => {
      // What the signal interrupts may begin again, or not.
      const child = runScript('trap "echo caught" USR1; echo ready; read one; read two && echo "got $two"');
      const closed = once(child, "close");
      let stdout = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text;
        if (text === "ready\n") child.kill("SIGUSR1");
        if (text === "caught\n") child.stdin.write("line\nline\n");
      });
      expect(await closed).toEqual([0, null]);
      expect(stdout).toBe("ready\ncaught\ngot line\n");
    });

    test.each<[number, string, readonly string[]]>([
      [2, "USAGE_INVALID", ["mute"]],
      [2, "USAGE_INVALID", ["named", "--on-error", "x"]],
      [4, "IMAGE_NOT_FOUND", ["other"]],
      [4, "PATH_NOT_FOUND", ["lost"]],
      [5, "OCI_INVALID", ["stranger"]],
      [5, "OVERLAY_INVALID", ["named", "--overlay", "text"]],
    ])("ends with %i, %s, and leaves nothing behind: %j", async (status, code, args) => {
      writeFileSync(path.join(home.path, "text"), "no overlay");
      const found = await cli("run", ...args, "--json");
      expect([found.status, errorOf(found)["code"]]).toEqual([status, code]);
      expect(leftovers()).toEqual([]);
    });
  });
});
