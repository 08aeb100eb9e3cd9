import { setTimeout as pause } from "node:timers/promises";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { type Random, seededRandom } from "../random.ts";
import { type Announcement, FakeFailover, PRIMARY_ENDS } from "./fake-failover.ts";
import { restPost, startTestRedisRest } from "./redis-rest.ts";

/** What became of a number of failovers, one after the other, with one redis-rest throughout. */
export interface FailoverSeries {
  readonly failovers: number;
  /** Failovers after which redis-rest did not find the new primary within LOST_MS; the series then starts another one. */
  readonly lost: number;
  /** From the promotion to the first reply of the new primary, in {@link OwnTime}. */
  readonly slowestMs: number;
}

/** Far beyond the time that finding a primary may take: a longer search counts as lost. */
const LOST_MS = 10_000;
const ASK_AGAIN_MS = 5;
const SENTINELS = 3;
/** One sentinel in so many does not tell: its message is lost, or its subscriber not there yet. */
const SILENT_SENTINEL = 0.1;

/** Fails over `count` times with sentinels `distanceMs` away; `seed` decides who hears what when. */
export async function runFailoverSeries(distanceMs: number, count: number, seed: number): Promise<FailoverSeries> {
  const random = seededRandom(seed);
  const time = new OwnTime();
  const stage = await FakeFailover.start(distanceMs);
  let rest = await startTestRedisRest(stage.env);
  let lost = 0;
  let slowestMs = 0;
  try {
    for (let failover = 0; failover < count; failover++) {
      stage.repeatsNewsToSubscribers = random.chance(0.2);
      const startMs = time.nowMs;
      stage.failOver(announcement(random, distanceMs));
      const tookMs = await untilRepliedBy(rest, stage, () => time.nowMs - startMs);
      if (tookMs !== undefined) {
        slowestMs = Math.max(slowestMs, tookMs);
      } else {
        lost++;
        await rest.close();
        rest = await startTestRedisRest(stage.env);
      }
      // Some failovers find the last one's connections still being made.
      await pause(random.integer(0, 4 * distanceMs + 20));
    }
  } finally {
    await rest.close();
    await stage.close();
    time.stop();
  }
  return { failovers: count, lost, slowestMs };
}

function announcement(random: Random, distanceMs: number): Announcement {
  const spreadMs = 2 * distanceMs + 5;
  const afterMs = Array.from({ length: SENTINELS }, () =>
    random.chance(SILENT_SENTINEL) ? Number.POSITIVE_INFINITY : random.integer(0, spreadMs),
  );
  return { end: PRIMARY_ENDS[random.integer(0, PRIMARY_ENDS.length - 1)] ?? "hangs up", afterMs };
}

async function untilRepliedBy(
  rest: RedisRest,
  stage: FakeFailover,
  passedMs: () => number,
): Promise<number | undefined> {
  while (passedMs() < LOST_MS) {
    const { json } = await restPost(rest, "/", ["GET", "who"]);
    if (JSON.stringify(json) === JSON.stringify({ result: stage.primaryName })) return passedMs();
    await pause(ASK_AGAIN_MS);
  }
  return undefined;
}

const TICK_MS = 5;

/**
 * The time that the machine let this process run. redis-rest, the sentinels and the test are in it, so a machine that is busy with
 * others delays them all, and this clock too. On an idle machine it goes as any other.
 */
class OwnTime {
  nowMs = 0;
  #tickedMs = performance.now();
  readonly #timer = setInterval(() => {
    const tickMs = performance.now();
    // Timers are late by some ms everywhere. What is beyond that, the process had to wait.
    this.nowMs += Math.min(tickMs - this.#tickedMs, 2 * TICK_MS);
    this.#tickedMs = tickMs;
  }, TICK_MS);

  stop(): void {
    clearInterval(this.#timer);
  }
}
