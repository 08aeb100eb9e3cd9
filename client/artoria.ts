import { runArtoria } from "./command/program.ts";

await runArtoria(process.argv.slice(2));
