import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Builds the worker as `wrangler deploy --env production` would upload it; its one module is `directory`/index.js. */
export async function buildProductionBundle(directory: string): Promise<void> {
  await buildBundle(["--env", "production"], directory);
}

/** Builds another worker with the same tool and settings, to compare with. `script` becomes `directory`/index.js. */
export async function buildPeerBundle(script: string, directory: string): Promise<void> {
  // Its own configuration, none of ours: a date and the module alone.
  await buildBundle([script, "--name", "peer", "--minify", "--compatibility-date", "2026-11-01"], directory);
}

async function buildBundle(args: readonly string[], directory: string): Promise<void> {
  const wrangler = dirname(createRequire(import.meta.url).resolve("wrangler/package.json"));
  const program = join(wrangler, await binOf(wrangler));
  await promisify(execFile)(process.execPath, [program, "deploy", "--dry-run", "--outdir", directory, ...args], {
    cwd: args.includes("--env") ? ROOT : directory,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1" },
  });
}

async function binOf(wrangler: string): Promise<string> {
  const { bin } = JSON.parse(await readFile(join(wrangler, "package.json"), "utf8")) as { bin: { wrangler: string } };
  return bin.wrangler;
}
