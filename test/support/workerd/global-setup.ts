import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import type { ProvidedKey } from "./provided-context.ts";

const REDIS_CONTROL_URL: ProvidedKey = "redisControlUrl";
const PROGRAM = fileURLToPath(new URL("../redis/redis-control-main.ts", import.meta.url));

/**
 * Runs beside the tests inside workerd, and gives them what workerd can't start itself. In a process of its own: here,
 * packages are resolved as they are for workerd.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const control = spawn(process.execPath, [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(control, "exit");
  const [line] = (await Promise.race([once(control.stdout, "data"), exited])) as [Buffer | number];
  if (!Buffer.isBuffer(line)) throw new Error(`${PROGRAM} did not start`);
  project.provide(REDIS_CONTROL_URL, line.toString().trim());
  return async () => {
    control.stdin.end();
    await exited;
  };
}
