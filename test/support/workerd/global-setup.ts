import type { TestProject } from "vitest/node";
import { Program } from "../processes/program.ts";
import type { ProvidedKey } from "./provided-context.ts";

const REDIS_CONTROL_URL: ProvidedKey = "redisControlUrl";

/**
 * Runs beside the tests inside workerd, and gives them what workerd can't start itself. In a process of its own: here,
 * packages are resolved as they are for workerd.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const control = Program.node("test/support/redis/redis-control-main.ts", [], {}, "pipe");
  const [, url = ""] = await control.prints(/^(http:\S+)\n/);
  project.provide(REDIS_CONTROL_URL, url);
  return async () => {
    control.child.stdin?.end();
    await control.ended();
  };
}
