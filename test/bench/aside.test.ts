import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

import { temporaryDirectory } from "../support/oci-layout.ts";
import { setAside } from "./_aside.mjs";

test("what is set aside is gone from its place, takes no room, and is the same files", () => {
  const folder = temporaryDirectory();
  try {
    const [out, aside, beside] = ["out", "aside", "beside"].map((name) => path.join(folder.path, name));
    writeFileSync(beside!, "stays");
    setAside(out!, aside!);
    expect(readdirSync(folder.path)).toEqual(["beside"]);
    for (const turn of ["0", "1"]) {
      mkdirSync(path.join(out!, "deep"), { recursive: true });
      const file = path.join(out!, "deep/file");
      writeFileSync(file, "content");
      symlinkSync(beside!, path.join(out!, "link"));
      const { ino } = statSync(file);
      setAside(out!, aside!);
      expect(readdirSync(folder.path)).toEqual(["aside", "beside"]);
      const { ino: after, size } = statSync(path.join(aside!, turn, "deep/file"));
      expect({ after, size }).toEqual({ after: ino, size: 0 });
    }
    expect(statSync(beside!).size).toBe(5);
  } finally {
    folder.remove();
  }
});
