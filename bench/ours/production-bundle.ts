import { execFile } from "node:child_process";
import { readFile, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unstable_readConfig } from "wrangler";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Builds the worker as `wrangler deploy --env production` would upload it; its one module is `directory`/index.js. */
export async function buildProductionBundle(directory: string): Promise<void> {
  await buildBundle(["--env", "production"], directory);
}

const WRANGLER_TOML = join(ROOT, "wrangler.toml");
const PEERS = fileURLToPath(new URL("../peers/", import.meta.url));

/** Builds a worker of bench/peers/ with the same tool, to compare with; its module becomes `directory`/index.js. */
export async function buildPeerBundle(script: string, directory: string): Promise<void> {
  const configuration = join(directory, "wrangler.json");
  // Of ours only the date and how it is built: no bindings, no flags.
  const ours = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  const { compatibility_date, minify, keep_names } = ours;
  await writeFile(
    configuration,
    JSON.stringify({ name: "peer", main: join(PEERS, script), compatibility_date, minify, keep_names }),
  );
  await buildBundle(["--config", configuration], directory);
  // Named after its source, where ours is named after worker/index.ts.
  await rename(join(directory, script.replace(/\.ts$/, ".js")), join(directory, "index.js"));
}

async function buildBundle(args: readonly string[], directory: string): Promise<void> {
  const wrangler = dirname(createRequire(import.meta.url).resolve("wrangler/package.json"));
  const program = join(wrangler, await binOf(wrangler));
  await promisify(execFile)(process.execPath, [program, "deploy", "--dry-run", "--outdir", directory, ...args], {
    cwd: ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1" },
  });
}

async function binOf(wrangler: string): Promise<string> {
  const { bin } = JSON.parse(await readFile(join(wrangler, "package.json"), "utf8")) as { bin: { wrangler: string } };
  return bin.wrangler;
}
