#!/usr/bin/env node
import { runArtoria } from "./program.ts";

await runArtoria(process.argv.slice(2));
