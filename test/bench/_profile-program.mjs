// The program from files that correspond to src/, so that a profile can say where it was: bin/lambda-img runs it bundled.
import { main } from "../../dist/cli/main.js";

process.exitCode = await main(process.argv.slice(2), "");
