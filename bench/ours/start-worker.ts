import { rmSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildEdge, bundleWorker, readBindings } from "../../dev/build-edge.ts";
import type { EdgeBindings } from "../../edge/edge-build.ts";
import { WORKERD } from "../../edge/workerd-process.ts";
import { freePort, type Program, startProgram } from "../harness/processes.ts";
import { type EdgeService, plainConfig, productionConfig } from "./worker-config.ts";

/** A bundle that plain workerd can run. */
export interface BuiltWorker {
  readonly directory: string;
  readonly kind: "production" | "plain";
  /** Of ours; a peer has its date alone. */
  readonly bindings: EdgeBindings;
  remove(): Promise<void>;
}

export interface RunningWorker {
  readonly port: number;
  readonly program: Program;
}

const PEERS = fileURLToPath(new URL("../peers", import.meta.url));

/** Our worker, as `npm run build:edge` makes it. */
export async function buildOurWorker(): Promise<BuiltWorker> {
  return build("production", async (directory) => (await buildEdge(directory)).bindings);
}

/** A worker of one file of bench/peers/ to compare with, bundled in the same way. */
export async function buildPeerWorker(script: string): Promise<BuiltWorker> {
  return build("plain", async (directory) => {
    await writeFile(join(directory, "index.js"), await bundleWorker(join(PEERS, script)));
    return readBindings();
  });
}

/** Starts plain workerd on any free port. */
export async function startWorker(built: BuiltWorker, variables: Record<string, string> = {}): Promise<RunningWorker> {
  const port = await freePort();
  const program = await startWorkerd(built, port, (directory) =>
    built.kind === "production"
      ? productionConfig(directory, built.bindings, [{ port, variables }])
      : plainConfig(directory, built.bindings, port),
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
  const program = await startWorkerd(built, ports[0] ?? 0, (directory) =>
    productionConfig(directory, built.bindings, edges),
  );
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
  return startProgram({ name: "workerd", command: WORKERD, args, port });
}

async function build(
  kind: BuiltWorker["kind"],
  bundle: (directory: string) => Promise<EdgeBindings>,
): Promise<BuiltWorker> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-bench-"));
  const removeAtExit = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", removeAtExit);
  const remove = async () => {
    process.off("exit", removeAtExit);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    return { directory, kind, bindings: await bundle(directory), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
