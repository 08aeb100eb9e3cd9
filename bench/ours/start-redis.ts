import { freePort } from "../harness/free-port.ts";
import { type Program, startProgram } from "../harness/program.ts";

export interface RunningRedis {
  readonly url: string;
  readonly program: Program;
}

/** A redis-server in memory alone, as each side of a measurement has its own. */
export async function startRedis(): Promise<RunningRedis> {
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const program = await startProgram({ name: "redis", command: "redis-server", args, port });
  return { url: `redis://127.0.0.1:${port}`, program };
}
