// Removes what an earlier build left: a file that no source has any more must not be packed.
import { rmSync } from "node:fs";

rmSync(new URL("../dist/", import.meta.url), { recursive: true, force: true });
