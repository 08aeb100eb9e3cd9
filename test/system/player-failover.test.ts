import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PlayerFleet } from "../support/peers/player-fleet.ts";
import { RoomStage } from "../support/processes/room-stage.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { until } from "../support/until.ts";

const PLAYERS = 100;
const ROOM = "arena";
const TROUBLE_MS = 40_000;
/** 20 messages a second, which are 2,000 deliveries a second: as many as a small, shared machine can deliver. */
const PUBLISH_EVERY_MS = 50;
const CUT_EVERY_MS = 700;
const KILL_EVERY_MS = 4_500;
const EVICT_EVERY_MS = 7_000;
/** How long the slowest machine may need after the last trouble. */
const RECOVERY_MS = 60_000;

let stage: RoomStage;
let fleet: PlayerFleet | undefined;
beforeEach(async () => {
  stage = await RoomStage.open();
});
afterEach(async () => {
  await fleet?.leave();
  await stage?.close();
});

test("100 players receive every message once and in order, while bridges are killed, connections cut and the room evicted", async () => {
  const seed = Date.now() % 2 ** 31;
  process.stdout.write(`seed ${seed}\n`);
  const random = seededRandom(seed);
  const tokens = await stage.issueTokens(PLAYERS);
  fleet = new PlayerFleet({ port: stage.haproxy.port, ca: stage.certificate.cert, room: ROOM, tokens });
  const { players } = fleet;
  fleet.connect();
  await until(() => fleet?.establishedCount === PLAYERS, RECOVERY_MS);

  let publisher = 0;
  const publishing = setInterval(() => fleet?.publish(publisher++ % players.length), PUBLISH_EVERY_MS);
  const endMs = performance.now() + TROUBLE_MS;
  const counts = await Promise.all([
    repeat(CUT_EVERY_MS, endMs, random, () => cutSome(random)),
    repeat(KILL_EVERY_MS, endMs, random, () => killOne(random)),
    repeat(EVICT_EVERY_MS, endMs, random, () => stage.evict(ROOM, random.chance(0.5) ? "hibernate" : "close")),
  ]);
  clearInterval(publishing);
  await until(() => fleet?.receivedAll === true, RECOVERY_MS).catch(() => undefined);

  const gapsMs = fleet.gapsMs.toSorted((one, other) => one - other);
  const [cuts, kills, evictions] = counts;
  process.stdout.write(
    `${fleet.publishedCount} messages, ${kills} kills, ${cuts} rounds of cuts, ${evictions} evictions: ` +
      `${gapsMs.length} resumes, p50 ${quantile(gapsMs, 0.5)} ms, p99 ${quantile(gapsMs, 0.99)} ms\n`,
  );
  expect(fleet.troubles).toEqual([]);
  expect(fleet.faults()).toEqual([]);
  expect(gapsMs.length).toBeGreaterThan(PLAYERS);
  const room = await stage.ask("GET", `/v1/rooms/${ROOM}`);
  expect(((await room.json()) as { members: unknown[] }).members).toHaveLength(PLAYERS);
});

/** Makes trouble at random times, about `everyMs` apart, and says how often. */
async function repeat(everyMs: number, endMs: number, random: Random, trouble: () => Promise<void>): Promise<number> {
  for (let count = 0; ; count++) {
    await pause(everyMs * (0.5 + random.next()));
    if (performance.now() >= endMs) return count;
    await trouble();
  }
}

async function cutSome(random: Random): Promise<void> {
  const connections = await stage.haproxy.connections();
  await stage.haproxy.cut(connections.filter(() => random.chance(0.05)));
}

async function killOne(random: Random): Promise<void> {
  const bridge = stage.bridges[random.integer(0, 1)] ?? stage.bridges[0];
  await bridge.kill();
  // The other bridge serves all players for a while.
  await pause(random.integer(0, 1_500));
  bridge.start();
  await until(() => bridge.isReady());
}

function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}
