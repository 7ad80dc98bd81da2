// The main job on the sample image, with a store and a key of its own in demo/: what README.md's first command runs.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(new URL("../demo/", import.meta.url), { recursive: true, force: true });
const env = { ...process.env, LAMBDA_IMG_STORE: "demo/store", LAMBDA_IMG_KEY_FILE: "demo/key.json" };
delete env.LAMBDA_IMG_KEY;

const commands = [
  ["convert", "oci:fixtures/images/sample"],
  ["ls", "sample", "/home/app", "--long"],
  ["cat", "sample", "/etc/os-release"],
  ["verify", "sample", "--source", "oci:fixtures/images/sample"],
  ["export", "sample", "-o", "demo/sample.ext4"],
  ["convert", "oci:fixtures/images/sample"],
];
for (const command of commands) {
  process.stdout.write(`\n$ lambda-img ${command.join(" ")}\n`);
  const { status } = spawnSync(process.execPath, ["bin/lambda-img", ...command], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
process.stdout.write("\ndemo/sample.ext4 is a disk image: sudo mount -o loop demo/sample.ext4 /mnt\n");
