// ⚡ uses: process
/** The command line: names, options, help. Each command's code is loaded when it is called. */
import { isatty } from "node:tty";

import { Command, CommanderError } from "commander";

import { LambdaImgError } from "../base/error.ts";
import { Output } from "./output.ts";
import type { CommonOptions } from "./context.ts";
import type { ConvertOptions } from "./convert.ts";
import type { DiffOptions } from "./diff.ts";
import type { ExportOptions } from "./export.ts";
import type { ListOptions } from "./list.ts";
import type { MountOptions } from "./mount.ts";
import type { RunOptions } from "./run.ts";
import type { ServeOptions } from "./serve.ts";
import type { StatsOptions } from "./stats.ts";
import type { VerifyOptions } from "./verify.ts";
import { refuseOtherThanUtf8 } from "./_words.ts";

/** Status of a program whose reader went away: 128 and SIGPIPE, as a shell shows it. */
const EXIT_PIPE = 141;

/** Runs the program with these arguments (without node and script); resolves to the exit status. */
export async function main(argv: readonly string[], version: string): Promise<number> {
  const run: Run = { status: 0, abort: new AbortController(), isServing: false, isHungUp: false };
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    const status = stdoutStatus(error, argv);
    if (!run.isServing) process.exit(status);
    // A server has sockets to remove: it stops as after a signal.
    run.status = status;
    run.abort.abort();
  });
  // What is said there is for people: that nobody reads it is no reason to stop serving, or to end otherwise.
  process.stderr.on("error", () => undefined);
  const onSignal = (): void => {
    // A second signal of either kind finds no listener, and ends the process.
    process.removeListener("SIGINT", onSignal).removeListener("SIGTERM", onSignal);
    run.abort.abort(new LambdaImgError("CANCELLED", "cancelled"));
  };
  // No second one: a terminal that goes away can send it twice, by its shell and by itself.
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  const onHangup = (): void => {
    run.isHungUp = true;
    run.abort.abort(new LambdaImgError("CANCELLED", "cancelled"));
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal).on("SIGHUP", onHangup);
  try {
    await makeProgram(run, version).parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed help, the version or what is wrong with the arguments.
    if (error.exitCode !== 0) run.status = failUsage(error, argv);
  } finally {
    process.removeListener("SIGINT", onSignal).removeListener("SIGTERM", onSignal);
    process.removeListener("SIGHUP", onHangup);
    // Node aborts at its end where it cannot set a terminal back to what it was, since that is gone.
    if (run.isHungUp && !terminals.every((fd) => isatty(fd))) process.kill(process.pid, "SIGHUP");
  }
  return run.status;
}

/** The status where stdout cannot be written, which people are told of unless it is a pipe's reader that has left. */
function stdoutStatus(error: NodeJS.ErrnoException, argv: readonly string[]): number {
  // `lambda-img ls … | head`: nobody reads on, so there is nothing to say and nothing to finish.
  if (error.code === "EPIPE") return EXIT_PIPE;
  const message = `stdout: cannot write: ${error.code ?? error.message}`;
  const failure = new LambdaImgError("OUTPUT_UNAVAILABLE", message);
  return new Output({ json: argv.includes("--json") }).fail(failure);
}

/** With `--json` programs get their error object for wrong arguments, too. */
function failUsage(error: CommanderError, argv: readonly string[]): number {
  const message = error.message.replace(/^error: /, "");
  return new Output({ json: argv.includes("--json") }).failSaid(new LambdaImgError("USAGE_INVALID", message));
}

interface Run {
  status: number;
  readonly abort: AbortController;
  /** True for a command that goes on after its result. */
  isServing: boolean;
  isHungUp: boolean;
}

const EXAMPLE = `
Example:
  lambda-img convert oci:./python-app
  lambda-img convert docker.io/library/alpine:3.20
  lambda-img ls python-app /usr/bin
  lambda-img export python-app -o disk.ext4
  lambda-img serve python-app --socket ./nbd.sock

REF is an image in a registry as docker names it ([HOST[:PORT]/]NAME[:TAG][@digest]), or
oci:DIR[:TAG|@digest], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME].
IMAGE is the name given by convert, or a manifest id (sha256:…).`;

function makeProgram(run: Run, version: string): Command {
  const program = new Command("lambda-img")
    .description(
      "Turns an OCI image into encrypted, deduplicated chunks of an ext4 disk image, and reads them back.",
    )
    .version(version, "-V, --version", "print the version")
    .addHelpText("after", EXAMPLE)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        write(`lambda-img: ${text}`);
      },
    })
    .showHelpAfterError("(lambda-img --help lists commands and options)");
  addConvert(program, run);
  addReaders(program, run);
  addVerify(program, run);
  addReports(program, run);
  addServe(program, run);
  addMount(program, run);
  addRun(program, run);
  return program;
}

/** What a command's code is given besides operands and options. */
interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** A command: how it is written, what it does, and its code, which is loaded when it is called. */
interface CommandText<Options> {
  readonly usage: string;
  readonly description: string;
  run(operands: readonly string[], options: Options, use: Use): Promise<void>;
}

/** Adds a command with what every command has; what it throws becomes a message and a status. */
function addCommand<Options extends CommonOptions>(
  program: Command,
  run: Run,
  text: CommandText<Options>,
): Command {
  return program
    .command(text.usage)
    .description(text.description)
    .option(
      "--store <dir>",
      "the store (default: $LAMBDA_IMG_STORE, or lambda-img/store in the XDG data directory)",
    )
    .option(
      "--key <file>",
      "the key file (default: $LAMBDA_IMG_KEY_FILE, or lambda-img/key.json in the XDG config directory)",
    )
    .option("--json", "print the result as one JSON object")
    .option("-q, --quiet", "print no notes and no progress")
    .action(async (...given: unknown[]) => {
      // Commander gives the operands, then the options, then the command.
      const options = given.at(-2) as Options;
      const operands = given
        .slice(0, -2)
        .flat()
        .filter((operand) => typeof operand === "string");
      const output = new Output(options);
      try {
        refuseEmpty(given.at(-1) as Command);
        refuseOtherThanUtf8();
        await text.run(operands, options, { output, signal: run.abort.signal });
      } catch (error) {
        run.status = output.fail(error);
      }
    });
}

/**
 * An empty operand or option is mostly a variable that was not set; as a path it would be the current directory.
 * @throws USAGE_INVALID
 */
function refuseEmpty(command: Command): void {
  const operands = command.registeredArguments
    .filter(({ variadic }) => !variadic)
    .map((argument, index) => [argument.name(), command.args[index]] as const);
  const options = command.options.map(
    (option) => [option.long ?? "", command.getOptionValue(option.attributeName()) as unknown] as const,
  );
  for (const [name, value] of [...operands, ...options]) {
    const isEmpty = Array.isArray(value) ? value.includes("") : value === "";
    if (isEmpty && name !== EMPTY_ALLOWED)
      throw new LambdaImgError("USAGE_INVALID", `${name}: expected a value, found an empty one`);
  }
}

/** As docker has it: without the image's entrypoint. */
const EMPTY_ALLOWED = "--entrypoint";

function addConvert(program: Command, run: Run): void {
  const command = addCommand<ConvertOptions>(program, run, {
    usage: "convert <ref>",
    description: "Flatten an image into an ext4 disk image and put it into the store as encrypted chunks.",
    run: async ([reference = ""], options, use) => {
      const { compileLater } = await import("../base/compile-later.ts");
      compileLater(true);
      const { SpareThread } = await import("../convert/spare-thread.ts");
      const spare = options.dryRun === true ? undefined : new SpareThread();
      const { convert } = await import("./convert.ts");
      await convert(reference, options, { ...use, spare });
    },
  })
    .option("--name <name>", "the image's name in the store (default: from REF)")
    .option("--platform <os/arch[/variant]>", "which image of an index (default: linux on this processor)")
    .option("--size <size>", "size of the disk image: 10G in all, +2G free, or auto", "auto")
    .option(
      "--mtime <policy>",
      "times of files: preserve, zero or clamp:SECONDS (default: preserve, or clamp to $SOURCE_DATE_EPOCH)",
    )
    .option("--max-layer-size <size>", "refuse a layer that unpacks to more (default: 128G)")
    .option(
      "--jobs <n>",
      "threads that may seal chunks (default: one less than the processors, at most 4); the result is the same",
    )
    .option("--no-reuse", "read every layer, also those that were converted before")
    .option("--all-platforms", "convert the image for each platform of its index, as NAME-ARCH")
    .option("--dry-run", "say what would be read, and store nothing");
  addRegistryOptions(command);
}

/** How registries are reached. */
function addRegistryOptions(command: Command): void {
  command
    .option("--username <name>", "who logs in to the registry (default: docker's and podman's files)")
    .option("--password-stdin", "read the password from standard input")
    .option("--insecure-registry <host[:port]>", "allow plain HTTP and any certificate there", collect)
    .option("--ca <file>", "certificate authorities to trust, too (PEM)", collect);
}

/** For options that can be given several times. */
function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function addReaders(program: Command, run: Run): void {
  addCommand<CommonOptions>(program, run, {
    usage: "images",
    description: "List the images in the store.",
    run: async (_operands, options, use) => {
      const { images } = await import("./inspect.ts");
      await images(options, use);
    },
  });
  addCommand<CommonOptions>(program, run, {
    usage: "inspect <image>",
    description: "Print what is known of an image: disk, chunks, layers, what it runs.",
    run: async ([image = ""], options, use) => {
      const { inspect } = await import("./inspect.ts");
      await inspect(image, options, use);
    },
  });
  addCommand<ListOptions>(program, run, {
    usage: "ls <image> [path]",
    description: "List a directory of an image, or one path.",
    run: async (operands, options, use) => {
      const { list } = await import("./list.ts");
      await list(operands, options, use);
    },
  })
    .option("-l, --long", "with type, permissions, owner, size and time (UTC)")
    .option("-R, --recursive", "with all that lies below");
  addCommand<CommonOptions>(program, run, {
    usage: "cat <image> <path>",
    description: "Write a file of an image to stdout.",
    run: async (operands, options, use) => {
      const { cat } = await import("./list.ts");
      await cat(operands, options, use);
    },
  });
  addCommand<ExportOptions>(program, run, {
    usage: "export <image>",
    description: "Write an image's disk (sparse, ready for mount -o loop) or its files as a tar.",
    run: async ([image = ""], options, use) => {
      const { exportImage } = await import("./export.ts");
      await exportImage(image, options, use);
    },
  })
    .requiredOption("-o, --output <file>", "where to; - for stdout")
    .option("--format <ext4|tar>", "what to write", "ext4")
    .option("--force", "replace a file that exists");
}

function addVerify(program: Command, run: Run): void {
  const command = addCommand<VerifyOptions>(program, run, {
    usage: "verify <image>",
    description: "Read all of an image in the store and say what is not as it should be.",
    run: async ([image = ""], options, use) => {
      const { verify } = await import("./verify.ts");
      await verify(image, options, use);
    },
  })
    .option("--source <ref>", "compare every file with the image it was converted from")
    .option("--platform <os/arch[/variant]>", "which image of an index (default: linux on this processor)")
    .option("--max-layer-size <size>", "refuse a layer that unpacks to more (default: 128G)")
    .option("--no-ext2fs", "leave out the second reader (libext2fs), which is slow");
  addRegistryOptions(command);
}

/** Commands that say where room goes. */
function addReports(program: Command, run: Run): void {
  const commands = [
    addCommand<StatsOptions>(program, run, {
      usage: "stats",
      description: "Say what the images in the store cost, and what they share.",
      run: async (_operands, options, use) => {
        const { stats } = await import("./stats.ts");
        await stats(options, use);
      },
    }),
    addCommand<DiffOptions>(program, run, {
      usage: "diff <before> <after>",
      description: "Say which chunks an image has that another has not, and which files are in them.",
      run: async (operands, options, use) => {
        const { diff } = await import("./diff.ts");
        await diff(operands, options, use);
      },
    }),
  ];
  for (const command of commands) {
    command
      .option("--html <file>", "draw it, too: a page that needs no network; it has names of files in it")
      .option("--force", "replace a file that exists");
  }
}

function addServe(program: Command, run: Run): void {
  const command = addCommand<ServeOptions>(program, run, {
    usage: "serve [images...]",
    description: "Offer images as block devices over NBD, each with a private overlay, until a signal comes.",
    run: async (images, options, use) => {
      const { serve } = await import("./serve.ts");
      run.isServing = true;
      await serve(images, options, use);
    },
  })
    .option("--socket <path>", "listen on a Unix socket there (default: a new one, mode 0600)")
    .option("--listen <host:port>", "listen on TCP instead")
    .option("--tls-cert <file>", "the server's certificate (PEM), for --listen")
    .option("--tls-key <file>", "its private key (PEM)")
    .option("--tls-ca <file>", "serve only clients with a certificate of these authorities (PEM)")
    .option("--insecure", "listen on TCP without TLS, --status too, though others can reach it")
    .option("--pin", "keep to what the images stand for at the start, though names move")
    .option("--status <host:port|path>", "tell metrics over HTTP, and draw them, there");
  addDeviceOptions(command);
}

function addMount(program: Command, run: Run): void {
  const command = addCommand<MountOptions>(program, run, {
    usage: "mount <image> <dir>",
    description:
      "Mount an image on a directory, with a private overlay; a server runs until umount (root only).",
    run: async (operands, options, use) => {
      const { mount } = await import("./mount.ts");
      await mount(operands, options, use);
    },
  }).option("--read-only", "without an overlay");
  addDeviceOptions(command);
  addCommand<CommonOptions>(program, run, {
    usage: "umount <dir>",
    description: "Take a mount down, also one of which parts have died.",
    run: async (operands, options, use) => {
      const { unmount } = await import("./mount.ts");
      await unmount(operands, options, use);
    },
  });
}

function addRun(program: Command, run: Run): void {
  const command = addCommand<RunOptions>(program, run, {
    usage: "run <image> [command...]",
    description:
      "Mount an image and run its command in namespaces of its own; this is no sandbox (root only). Words after -- replace the image's arguments.",
    run: async (operands, options, use) => {
      const { run: runImage } = await import("./run.ts");
      run.status = await runImage(operands, options, use);
    },
  }).option("--entrypoint <program>", "run this instead of what the image says");
  addDeviceOptions(command);
}

/** How a device behaves, however it is reached. */
function addDeviceOptions(command: Command): void {
  command
    .option("--overlay <where>", "where writes go: memory, none (read-only), or a file (default: memory)")
    .option("--overlay-size <size>", "the most an overlay holds (default: 1G in memory, 4G in a file)")
    .option("--read-timeout <seconds>", "time for the store to give a chunk (default: 30)")
    .option(
      "--on-error <eio|block>",
      "fail a read that the store fails, or try until it works (default: eio)",
    )
    .option("--memory <size>", "memory for chunks that stay open (default: 256M)")
    .option("--cache <dir|none>", "keep sealed chunks of the store in that directory, too (default: none)")
    .option("--cache-size <size>", "the most that the directory may hold (default: 4G)")
    .option("--record", "record which chunks are read, for later starts of the image")
    .option("--no-prefetch", "read nothing ahead that was recorded")
    .option("--prime <n>", "read so many chunks ahead of each that is read (default: 0)");
}
