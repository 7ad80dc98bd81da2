/** scripts/microvm.mjs: a kernel boots with its root file system on an export, through QEMU and by its own NBD client. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { fsck, run } from "../support/judge.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { busyboxBytes, describeWithMachine, kernelPath, runMachine, withServer } from "./_machine.ts";

/** Generous: a processor that is emulated, on a machine that has other work. A boot takes about 6 s. */
const BOOT_MS = 180_000;
/** The same machine everywhere, whatever the processor can do. */
const MACHINE = ["--kernel", kernelPath(), "--accel", "tcg"];
const SCRIPT = path.resolve(import.meta.dirname, "../../scripts/microvm.mjs");

describe("what cannot be run is refused before anything is started", () => {
  const refused = (args: readonly string[], env: Record<string, string> = {}): [number | null, string] => {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
      encoding: "utf8",
      env: { HOME: "/nonexistent", ...env },
    });
    return [status, stderr.split("\n")[0] ?? ""];
  };

  test.each<[number, string, readonly string[]]>([
    [2, "expected one image, or --uri", []],
    [2, "expected one image, or --uri", ["one", "two"]],
    [2, "expected one image, or --uri", ["one", "--uri", "nbd://localhost", "--", "true"]],
    [2, "--uri: expected a command after --", ["--uri", "nbd://localhost"]],
    [2, "--uri: --store, --key and --overlay are for an image", ["--uri", "nbd://localhost", "--key", "x"]],
    [2, "--attach: expected virtio or nbd, found usb", ["app", "--attach", "usb"]],
    [2, "--accel: expected tcg or kvm, found hvf", ["app", "--accel", "hvf"]],
    [2, "--memory: expected a number of MiB, found 1G", ["app", "--memory", "1G"]],
    [2, "there is nothing to write to an overlay", ["app", "--read-only", "--overlay", "memory"]],
    [2, "Unknown option '--colour'", ["app", "--colour"]],
    [125, "no kernel is there", ["app", "--kernel", "no-such-kernel"]],
    [125, "no modules of the kernel are there", ["app", "--kernel", SCRIPT]],
  ])("with status %i: %s", (status, message, args) => {
    expect(refused(args)).toEqual([status, expect.stringContaining(message)]);
  });

  test("programs that are missing are named, with their packages", () => {
    const args = ["app", "--kernel", SCRIPT, "--modules", "none", "--attach", "nbd"];
    const [status, message] = refused(args, { PATH: "/nonexistent" });
    expect(status).toBe(125);
    expect(message).toContain("qemu-system-x86_64 (Debian: qemu-system-x86)");
    expect(message).toContain("busybox (Debian: busybox-static)");
  });

  test("--help says how it is called, and every option in it is taken", () => {
    const { status, stdout } = spawnSync(process.execPath, [SCRIPT, "--help"], { encoding: "utf8" });
    expect([status, stdout]).toEqual([0, expect.stringContaining("usage: node scripts/microvm.mjs IMAGE")]);
    for (const [option] of stdout.matchAll(/(?<= )--[a-z-]+/g)) {
      expect(refused([option, "x"])[1]).not.toContain("Unknown option");
    }
  });
});

describe.skipIf(!isBuilt)("a microVM (needs npm run build)", () => {
  describeWithMachine("on this machine", () => {
    const home = new CliHome();
    /** Bytes that differ from block to block, over several chunks. */
    const filling = createHash("shake256", { outputLength: 1_700_001 }).update("filling").digest();
    const small = Array.from({ length: 40 }, (_, i) => [`srv/small/${i}`, `${i}\n`.repeat(i * 97)] as const);
    let listed = "";
    let diskDigest = "";

    const machine = (...args: readonly string[]): ReturnType<typeof runMachine> =>
      runMachine(home, ["app", ...MACHINE, ...args]);
    const leftovers = (): string[] =>
      readdirSync(home.path).filter((name) => name.startsWith("lambda-img-microvm-"));

    beforeAll(async () => {
      const sh = { mode: 0o755 };
      const tar = tarBuilder();
      for (const name of ["./", "bin/", "dev/", "etc/", "proc/", "srv/", "srv/small/", "sys/"])
        tar.dir(name, sh);
      tar
        .dir("srv/own/", { uid: 1000, gid: 1001 })
        .file("bin/busybox", busyboxBytes(), sh)
        .symlink("bin/sh", "busybox")
        .file("etc/passwd", "app:x:1000:1001::/srv:/bin/sh\n")
        .file("srv/filling", filling);
      for (const [name, text] of small) tar.file(name, text);
      mkdirSync(home.path, { recursive: true });
      writeLayout(path.join(home.path, "app"), [
        {
          layers: [{ tar: tar.end() }],
          run: {
            User: "app",
            WorkingDir: "/srv/own",
            Env: ["GREETING=it's here", "PATH=/bin"],
            Entrypoint: ["sh", "-c"],
            Cmd: ['id -u; id -g; pwd; echo "$GREETING"'],
          },
        },
      ]);
      jsonOf(await home.run(["convert", "oci:app", "--size", "16M", "--json"]));
      diskDigest = sha256((await home.run(["export", "app", "-o", "-"])).stdoutBytes);
      listed = [["srv/filling", filling] as const, ...small]
        .map(([name, content]) => `${sha256(content)}  /${name}\n`)
        .join("");
    });
    afterAll(() => {
      home.remove();
    });

    test(
      "runs the image's command as the image's user, where the image says, and takes everything down",
      async () => {
        const found = await machine("--read-only");
        expect(found).toEqual({
          status: 0,
          signal: null,
          stdout: "1000\n1001\n/srv/own\nit's here\n",
          stderr: "",
        });
        expect(leftovers()).toEqual([]);
      },
      BOOT_MS,
    );

    test.each([
      ["QEMU", "virtio"],
      ["the kernel's own NBD client", "nbd"],
    ])(
      "reads through %s what the image has, and what it writes is on the overlay",
      async (_, attach) => {
        const overlay = path.join(home.path, `an, overlay of ${attach}`);
        const words = `cd / && sha256sum /srv/filling; for i in $(seq 0 39); do sha256sum /srv/small/$i; done
          cat /srv/filling /srv/filling >/srv/own/copy && rm -r /srv/own/no-such-thing; sync; exit 7`;
        const found = await machine("--attach", attach, "--overlay", overlay, "--", words);
        expect([found.status, found.stdout]).toEqual([
          7,
          `${listed}rm: can't remove '/srv/own/no-such-thing': No such file or directory\n`,
        ]);
        // The program reads the file, libnbd takes the bytes, e2fsprogs judge them: the guest's kernel is gone.
        const disk = path.join(home.path, `${attach}.ext4`);
        await withServer(home, ["--overlay", overlay], (uri) => run("nbdcopy", [uri, disk]));
        await fsck(disk);
        const copy = path.join(home.path, `${attach} copy`);
        await run("debugfs", ["-R", `dump /srv/own/copy "${copy}"`, disk]);
        expect(Buffer.concat([filling, filling]).equals(readFileSync(copy))).toBe(true);
        expect(sha256((await home.run(["export", "app", "-o", "-"])).stdoutBytes)).toBe(diskDigest);
      },
      BOOT_MS,
    );

    test(
      "reads by the kernel's own NBD client, read-only, from a server that runs already, to the last byte of the disk",
      async () => {
        // Without the image's config: its user could not open the device.
        const found = await withServer(home, ["--overlay", "none"], (uri) => {
          const words = `grep ' / ' /proc/mounts; sha256sum /srv/filling; for i in $(seq 0 39); do sha256sum /srv/small/$i; done
            touch /srv/own/new; sha256sum </dev/nbd0`;
          const options = ["--uri", uri, "--attach", "nbd", "--read-only", ...MACHINE];
          return runMachine(home, [...options, "--", "/bin/sh", "-c", words]);
        });
        expect([found.status, found.stdout]).toEqual([
          0,
          `/dev/nbd0 / ext4 ro,relatime,norecovery 0 0\n${listed}touch: /srv/own/new: Read-only file system\n${diskDigest}  -\n`,
        ]);
      },
      BOOT_MS,
    );

    test.each<["SIGTERM" | "SIGKILL", number | null]>([
      ["SIGTERM", 143],
      ["SIGKILL", null],
    ])(
      "leaves no process behind after %s",
      async (signal, status) => {
        let isUp = false;
        const found = await runMachine(
          home,
          // It stays up if nobody ends it; server and QEMU run when the kernel has its first word.
          ["app", ...MACHINE, "--verbose", "--", "sleep 100000"],
          (stdout, child) => {
            if (isUp || !stdout.includes("Linux version")) return;
            isUp = true;
            child.kill(signal);
          },
        );
        // That it has ended says that nobody holds its output any more.
        expect([isUp, found.status]).toEqual([true, status]);
        // Who is killed cannot clean up.
        if (signal === "SIGTERM") expect(leftovers()).toEqual([]);
      },
      BOOT_MS,
    );
  });
});

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
