import { rmSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildEdge } from "../../../dev/build-edge.ts";
import { parseEdgeConfig } from "../../../edge/config.ts";
import { type Edge, startEdge } from "../../../edge/edge.ts";
import { readEdgeBuild } from "../../../edge/edge-build.ts";
import { Program } from "./program.ts";

/** One of the API keys of every edge that is started here. */
export const OWN_EDGE_KEY = "own-edge-key-of-these-tests-alone-01";

const DEFAULTS = { EDGE_PORT: "0", API_KEYS: OWN_EDGE_KEY, SESSION_STORE: "embedded", EDGE_DRAIN_MS: "0" };

/** `npm run edge`, as a process of its own. */
export interface OwnEdge {
  readonly program: Program;
  readonly url: string;
}

let build: Promise<string> | undefined;

/** The folder of a build for the tests of this process, which is removed with it. */
export function ownEdgeBuild(): Promise<string> {
  build ??= makeBuild();
  return build;
}

async function makeBuild(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-edge-build-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  await buildEdge(directory);
  return directory;
}

/** Starts the program on a free port, without the time in which it only says that it drains. Resolves when it listens. */
export async function startOwnEdge(variables: Readonly<Record<string, string>>): Promise<OwnEdge> {
  const program = await spawnOwnEdge(variables);
  const [, url = ""] = await program.prints(/"url":"([^"]+)"/);
  return { program, url };
}

/** What the program runs, in this process. */
export async function openOwnEdge(variables: Readonly<Record<string, string>>): Promise<Edge> {
  const build = await readEdgeBuild(await ownEdgeBuild());
  const stateDir = await mkdtemp(join(tmpdir(), "artoria-own-state-"));
  const config = parseEdgeConfig({ ...DEFAULTS, STATE_DIR: stateDir, ...variables }, build.bindings.variables);
  const edge = await startEdge(build, config, { print: (line) => process.stderr.write(`${line}\n`) });
  const close = async () => {
    await edge.close();
    await rm(stateDir, { recursive: true });
  };
  return { ...edge, close };
}

/** {@link startOwnEdge} that does not wait. */
export async function spawnOwnEdge(variables: Readonly<Record<string, string>>): Promise<Program> {
  return Program.node("edge/main.ts", [await ownEdgeBuild()], { ...DEFAULTS, ...variables });
}

/** The processes that a program has started, by /proc/<pid>/stat: "pid (name) state ppid ...". */
export async function childrenOf(parent: number): Promise<{ readonly pid: number; readonly name: string }[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
  return stats.flatMap((stat) => {
    const [, pid, name = "", parentPid] = /^(\d+) \((.*)\) \S (\d+) /.exec(stat) ?? [];
    return Number(parentPid) === parent ? [{ pid: Number(pid), name }] : [];
  });
}

/** Whether a process runs: a zombie, whose parent has not asked for its end yet, does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) Z /.test(stat);
}
