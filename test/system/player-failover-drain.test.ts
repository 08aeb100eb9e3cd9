import { afterEach, beforeEach, expect, it } from "vitest";
import { PlayerFleet } from "../support/peers/player-fleet.ts";
import { RoomStage } from "../support/processes/room-stage.ts";
import { until } from "../support/until.ts";

const PLAYERS = 20;
const SPEAK_EVERY_MS = 50;
/** So much is said before a bridge is replaced. */
const MESSAGES = 40;
/** How long the slowest machine may take to come to rest. */
const SETTLE_MS = 60_000;
/** What an orchestrator waits after SIGTERM, at least. */
const DRAIN_MS = 10_000;

let stage: RoomStage;
let fleet: PlayerFleet | undefined;
beforeEach(async () => {
  stage = await RoomStage.open();
});
afterEach(async () => {
  await fleet?.leave();
  await stage?.close();
});

it("a rolling update of the bridges: each ends within 10 s of SIGTERM, and players hear every message once and in order", async () => {
  const tokens = await stage.issueTokens(PLAYERS);
  const players = new PlayerFleet({ port: stage.haproxy.port, ca: stage.certificate.cert, room: "arena", tokens });
  fleet = players;
  players.connect();
  await until(() => players.establishedCount === PLAYERS, SETTLE_MS);
  let speaker = 0;
  const speaking = setInterval(() => players.speak(speaker++ % PLAYERS), SPEAK_EVERY_MS);
  for (const bridge of stage.bridges) {
    const { saidCount } = players;
    await until(() => players.saidCount >= saidCount + MESSAGES);
    const startMs = performance.now();
    expect(await bridge.drain()).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(DRAIN_MS);
    await until(() => players.establishedCount === PLAYERS, SETTLE_MS);
    bridge.start();
    await until(() => bridge.isReady());
  }
  clearInterval(speaking);
  await until(() => players.hasHeardAll, SETTLE_MS).catch(() => undefined);
  expect(players.troubles).toEqual([]);
  expect(players.faults()).toEqual([]);
  expect(players.gapsMs.length).toBeGreaterThanOrEqual(PLAYERS);
});
