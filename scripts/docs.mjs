// Writes the generated pages (docs/cli-help.md); `--check` only says whether they are fresh. Needs a build.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const page = fileURLToPath(new URL("../docs/cli-help.md", import.meta.url));
const program = fileURLToPath(new URL("../bin/lambda-img", import.meta.url));
const commands = [
  "",
  "convert",
  "images",
  "inspect",
  "ls",
  "cat",
  "export",
  "verify",
  "stats",
  "diff",
  "serve",
  "mount",
  "umount",
  "run",
];

function help(command) {
  // Not --help: that is answered from the page.
  const words = [...(command === "" ? [] : [command]), "-h"];
  // Commander breaks lines at the terminal's width; without a terminal it takes 80.
  const { stdout, status } = spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });
  if (status !== 0) throw new Error(`lambda-img ${words.join(" ")} ended with ${status}`);
  return `## lambda-img${command === "" ? "" : ` ${command}`}\n\n\`\`\`\n${stdout.trimEnd()}\n\`\`\`\n`;
}

const text = `# Help texts\n\nMade by \`npm run docs\` from the program; [cli.md](cli.md) explains them.\n\n${commands.map(help).join("\n")}`;
if (process.argv.includes("--check")) {
  if (readFileSync(page, "utf8") !== text) {
    process.stderr.write("docs/cli-help.md is stale: run `npm run docs`\n");
    process.exit(1);
  }
} else {
  writeFileSync(page, text);
}
