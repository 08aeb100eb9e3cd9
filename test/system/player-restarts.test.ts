import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { PlayerFleet } from "../support/peers/player-fleet.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { RoomStage } from "../support/processes/room-stage.ts";
import { until } from "../support/until.ts";

const PLAYERS = 20;
const PUBLISH_EVERY_MS = 50;
/** Messages published between two restarts, at least. */
const MESSAGES = 40;
/** How long the slowest machine may need until all players are back. */
const RECOVERY_MS = 60_000;
/** What an orchestrator waits after SIGTERM, at least. */
const DRAIN_MS = 10_000;

let stage: RoomStage;
const fleets: PlayerFleet[] = [];
beforeAll(async () => {
  stage = await RoomStage.open();
});
afterEach(async () => {
  for (const fleet of fleets.splice(0)) await fleet.leave();
});
afterAll(() => stage?.close());

async function join(room: string, port: number, count: number): Promise<PlayerFleet> {
  const tokens = await stage.issueTokens(count);
  const fleet = new PlayerFleet({ port, ca: stage.certificate.cert, room, tokens });
  fleets.push(fleet);
  fleet.connect();
  await until(() => fleet.establishedCount === count, RECOVERY_MS);
  return fleet;
}

/** Restarts parts while the players publish, then waits until everybody has received everything. */
async function publishDuring(fleet: PlayerFleet, restarts: readonly (() => Promise<void>)[]): Promise<void> {
  let publisher = 0;
  const publishing = setInterval(() => fleet.publish(publisher++ % PLAYERS), PUBLISH_EVERY_MS);
  for (const restart of restarts) {
    const { publishedCount } = fleet;
    await until(() => fleet.publishedCount >= publishedCount + MESSAGES, RECOVERY_MS);
    await restart();
    await until(() => fleet.establishedCount === PLAYERS, RECOVERY_MS);
  }
  clearInterval(publishing);
  await until(() => fleet.receivedAll, RECOVERY_MS).catch(() => undefined);
  expect(fleet.troubles).toEqual([]);
  expect(fleet.faults()).toEqual([]);
}

async function membersOf(room: string): Promise<{ readonly member: number; readonly connected: boolean }[]> {
  const response = await stage.ask("GET", `/v1/rooms/${room}`);
  const { members } = (await response.json()) as { members: { member: number; connected: boolean }[] };
  return members;
}

test("players receive every message once and in order during a rolling update of the bridges, each of which ends within 10 s of SIGTERM", async () => {
  const fleet = await join("bridges", stage.haproxy.port, PLAYERS);
  const updates = stage.bridges.map((bridge) => async () => {
    const startMs = performance.now();
    expect(await bridge.drain()).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(DRAIN_MS);
    await until(() => fleet.establishedCount === PLAYERS, RECOVERY_MS);
    bridge.start();
    await until(() => bridge.isReady());
  });
  await publishDuring(fleet, updates);
  expect(fleet.gapsMs.length).toBeGreaterThanOrEqual(PLAYERS);
});

test("players receive every message once and in order while workerd is ended and killed, and starts on the same storage", async () => {
  const fleet = await join("edge", stage.haproxy.port, PLAYERS);
  const restarts = (["end", "kill", "end"] as const).map((how) => () => stage.restartEdge(how));
  await publishDuring(fleet, restarts);
  expect(fleet.gapsMs.length).toBeGreaterThanOrEqual(restarts.length * PLAYERS);
});

test("a player who leaves is removed at once; one who is away for 30 s is removed then, and returns as a new member", async () => {
  const proxy = await TcpProxy.open(stage.haproxy.port);
  try {
    const room = "absence";
    const [absentees, leavers] = [await join(room, proxy.port, 1), await join(room, stage.haproxy.port, 1)];
    const [absent, leaver] = [absentees.players[0], leavers.players[0]];
    const before = absent?.member;
    expect(await membersOf(room)).toHaveLength(2);

    await leavers.leave();
    expect(await leaver?.closed).toMatchObject({ code: ClosedCode.Left });
    expect(await membersOf(room)).toEqual([expect.objectContaining({ member: before, connected: true })]);

    const reasons: string[] = [];
    const resumed: boolean[] = [];
    absent?.on("handoverFailed", ({ reason }) => reasons.push(reason));
    absent?.on("joined", (joined) => resumed.push(joined.resumed));
    const startMs = performance.now();
    proxy.refuse();
    await until(async () => (await membersOf(room))[0]?.connected === false);
    await until(async () => (await membersOf(room)).length === 0, RECOVERY_MS);
    expect(performance.now() - startMs).toBeGreaterThan(29_000);

    proxy.restore();
    await until(() => absent?.state === "Established", RECOVERY_MS);
    expect(reasons).toHaveLength(1);
    expect(resumed).toEqual([false]);
    expect(absent?.member).not.toBe(before);
    expect(leaver?.state).toBe("None");
  } finally {
    await proxy.close();
  }
});
