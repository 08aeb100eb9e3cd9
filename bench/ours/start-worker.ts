import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import workerd from "workerd";
import { freePort } from "../harness/free-port.ts";
import { type Program, startProgram } from "../harness/program.ts";
import { buildPeerBundle, buildProductionBundle } from "./production-bundle.ts";
import { plainConfig, productionConfig } from "./worker-config.ts";

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
  const { directory, kind } = built;
  const port = await freePort();
  const config =
    kind === "production" ? productionConfig({ port, directory, variables }) : plainConfig(port, directory);
  await mkdir(join(directory, "data"), { recursive: true });
  const file = join(directory, "config.capnp");
  await writeFile(file, config, { mode: 0o600 });
  const args = ["serve", "--experimental", file];
  const program = await startProgram({ name: "workerd", command: workerd.default, args, port });
  return { port, program };
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
