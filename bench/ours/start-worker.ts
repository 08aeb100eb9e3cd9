import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import workerd from "workerd";
import { unstable_readConfig } from "wrangler";
import { freePort, type Program, startProgram } from "../harness/processes.ts";
import { type EdgeService, plainConfig, productionConfig } from "./worker-config.ts";

/** A bundle that plain workerd can run. */
export interface BuiltWorker {
  readonly directory: string;
  readonly kind: "production" | "plain";
  remove(): Promise<void>;
}

export interface RunningWorker {
  readonly port: number;
  readonly program: Program;
}

/** Our worker, as it is deployed. */
export async function buildOurWorker(): Promise<BuiltWorker> {
  return build("production", buildProductionBundle);
}

/** A worker of one file to compare with. */
export async function buildPeerWorker(script: string): Promise<BuiltWorker> {
  return build("plain", (directory) => buildPeerBundle(script, directory));
}

/** Starts plain workerd on any free port. */
export async function startWorker(built: BuiltWorker, variables: Record<string, string> = {}): Promise<RunningWorker> {
  const port = await freePort();
  const program = await startWorkerd(built, port, (directory) =>
    built.kind === "production" ? productionConfig(directory, [{ port, variables }]) : plainConfig(directory, port),
  );
  return { port, program };
}

/**
 * Starts one process with several edges: each is a service with isolates, a port and variables of its own, as at Cloudflare's
 * locations. All Durable Objects are those of the first. Its first isolate starts with its first request.
 */
export async function startEdges(
  built: BuiltWorker,
  variables: readonly Readonly<Record<string, string>>[],
): Promise<{ readonly ports: readonly number[]; readonly program: Program }> {
  const edges: EdgeService[] = [];
  for (const each of variables) edges.push({ port: await freePort(), variables: each });
  const ports = edges.map(({ port }) => port);
  const program = await startWorkerd(built, ports[0] ?? 0, (directory) => productionConfig(directory, edges));
  return { ports, program };
}

/** Each process has a folder of its own: two that share one would share the storage of the Durable Objects. */
async function startWorkerd(built: BuiltWorker, port: number, config: (directory: string) => string): Promise<Program> {
  const directory = await mkdtemp(join(built.directory, "run-"));
  await mkdir(join(directory, "data"));
  await copyFile(join(built.directory, "index.js"), join(directory, "index.js"));
  const file = join(directory, "config.capnp");
  await writeFile(file, config(directory), { mode: 0o600 });
  const args = ["serve", "--experimental", file];
  return startProgram({ name: "workerd", command: workerd.default, args, port });
}

async function build(kind: BuiltWorker["kind"], bundle: (directory: string) => Promise<void>): Promise<BuiltWorker> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-bench-"));
  const removeAtExit = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", removeAtExit);
  const remove = async () => {
    process.off("exit", removeAtExit);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await bundle(directory);
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, kind, remove };
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Builds the worker as `wrangler deploy --env production` would upload it; its one module is `directory`/index.js. */
export async function buildProductionBundle(directory: string): Promise<void> {
  await buildBundle(["--env", "production"], directory);
}

const WRANGLER_TOML = join(ROOT, "wrangler.toml");
const PEERS = fileURLToPath(new URL("../peers", import.meta.url));

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
