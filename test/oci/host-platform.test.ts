// ⚡ uses: process
import { expect, test } from "vitest";

import { hostPlatform } from "../../src/oci/host-platform.ts";

test("this machine is a linux, its processor named as in Go", () => {
  const { os, architecture } = hostPlatform();
  expect(os).toBe("linux");
  if (process.arch === "x64") expect(architecture).toBe("amd64");
  if (process.arch === "arm64") expect(architecture).toBe("arm64");
});
