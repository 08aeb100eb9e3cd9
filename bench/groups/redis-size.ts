import { Redis } from "ioredis";
import { type BenchGroup, judge } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/processes.ts";
import { startRedis } from "../ours/start-ours.ts";
import { fillConnectRedis, fillOurs, type Population } from "./sessions.ts";

const POPULATION: Population = { sessions: 1_000_000, users: 800_000 };

/** What a session takes of Redis's memory. It does not depend on load, so it is measured once. */
export const redisSize: BenchGroup = {
  name: "redis-bytes",
  run: async ({ progress }) => {
    progress(`redis-bytes: ${POPULATION.sessions} sessions of ${POPULATION.users} users`);
    const ours = await bytesPerSession(fillOurs);
    const peer = await bytesPerSession(fillConnectRedis);
    const title = {
      group: "redis-bytes",
      name: "Redis bytes per session, 10^6 sessions",
      against: "connect-redis with the same fields, without indices",
      unit: "bytes",
      target: { op: "<=", value: 2 },
    } as const;
    return [judge(title, [{ ours, peer }])];
  },
};

function bytesPerSession(fill: (url: string, population: Population) => Promise<void>): Promise<number> {
  return Cleanup.around(async (cleanup) => {
    const { url, program } = await startRedis();
    cleanup.add(program);
    const emptyBytes = await usedBytes(url);
    await fill(url, POPULATION);
    return ((await usedBytes(url)) - emptyBytes) / POPULATION.sessions;
  });
}

async function usedBytes(url: string): Promise<number> {
  const redis = new Redis(url);
  const info = await redis.info("memory");
  redis.disconnect();
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1]);
}
