import { Redis } from "ioredis";
import type { BenchGroup } from "../harness/bench-case.ts";
import { measureFigures } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/processes.ts";
import { type Ours, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import type { CaseResult } from "../report/results.ts";
import { fillOurs, KEY_PREFIX } from "./sessions.ts";

const SMALL = 10_000;
const LARGER = [100_000, 1_000_000];

/** Enough for a mean, few enough for a second. */
const COUNTS = 200;

/** CountUsers at growing numbers of sessions: against itself at 10^4, and against a SCAN, which is what one does without an index. */
export const count: BenchGroup = {
  name: "count",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const small = cleanup.add(await startOurs(worker));
      await fillOurs(small.redisUrl, { sessions: SMALL, users: SMALL });
      const results: CaseResult[] = [];
      const ours = cleanup.add(await startOurs(worker));
      let filled = 0;
      for (const sessions of LARGER) {
        options.progress(`count: ${sessions} sessions`);
        await fillOurs(ours.redisUrl, { sessions, users: sessions }, filled);
        filled = sessions;
        const title = {
          group: "count",
          name: `count at ${sessions} sessions`,
          against: `the same at ${SMALL}`,
          unit: "ms",
          target: { op: "<=", value: 1.5 },
        } as const;
        results.push(
          await measureFigures(
            title,
            () => countMs(ours, sessions),
            () => countMs(small, SMALL),
            options,
          ),
        );
      }
      const scan = {
        group: "count",
        name: `count at ${SMALL} sessions, against SCAN`,
        against: `a SCAN of ${SMALL} sessions, COUNT 1000`,
        unit: "ms",
        target: { op: "<=", value: 1 },
      } as const;
      results.push(
        await measureFigures(
          scan,
          () => countMs(small, SMALL),
          () => scanMs(small.redisUrl),
          options,
        ),
      );
      return results;
    }),
};

/** The mean time of a count over HTTP, through workerd and redis-rest; throws if the number is wrong. */
async function countMs({ edgePort, apiKey }: Ours, expected: number): Promise<number> {
  const startMs = performance.now();
  for (let index = 0; index < COUNTS; index++) {
    const headers = { Authorization: `Bearer ${apiKey}` };
    const response = await fetch(`http://127.0.0.1:${edgePort}/v1/count`, { headers });
    const { sessions } = (await response.json()) as { sessions: number };
    if (sessions !== expected) throw new Error(`counted ${sessions} of ${expected} sessions`);
  }
  return (performance.now() - startMs) / COUNTS;
}

async function scanMs(url: string): Promise<number> {
  const redis = new Redis(url);
  await redis.ping();
  const startMs = performance.now();
  for (let index = 0; index < COUNTS / 10; index++) {
    let cursor = "0";
    do {
      [cursor] = await redis.scan(cursor, "MATCH", `${KEY_PREFIX}s:*`, "COUNT", 1_000);
    } while (cursor !== "0");
  }
  const tookMs = performance.now() - startMs;
  redis.disconnect();
  return tookMs / (COUNTS / 10);
}
