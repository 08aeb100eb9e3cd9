import { afterEach, beforeEach, expect, it } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { PlayerFleet } from "../support/peers/player-fleet.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { RoomStage } from "../support/processes/room-stage.ts";
import { until } from "../support/until.ts";

const PLAYERS = 20;
const ROOM = "arena";
const SPEAK_EVERY_MS = 50;
/** So much is said between two failures, at least. */
const MESSAGES = 60;
/** How long the slowest machine may take to come to rest. */
const SETTLE_MS = 60_000;

let stage: RoomStage;
let fleet: PlayerFleet | undefined;
beforeEach(async () => {
  stage = await RoomStage.open();
});
afterEach(async () => {
  await fleet?.leave();
  await stage?.close();
});

async function join(port: number, count: number): Promise<PlayerFleet> {
  const tokens = await stage.issueTokens(count);
  const joined = new PlayerFleet({ port, ca: stage.certificate.cert, room: ROOM, tokens });
  joined.connect();
  await until(() => joined.establishedCount === count, SETTLE_MS);
  return joined;
}

async function members(): Promise<{ readonly member: number; readonly connected: boolean }[]> {
  const response = await stage.ask("GET", `/v1/rooms/${ROOM}`);
  const { members } = (await response.json()) as { members: { member: number; connected: boolean }[] };
  return members;
}

it("players hear every message once and in order, while workerd is ended and killed, and starts on the same storage", async () => {
  const players = await join(stage.haproxy.port, PLAYERS);
  fleet = players;
  let speaker = 0;
  const speaking = setInterval(() => players.speak(speaker++ % PLAYERS), SPEAK_EVERY_MS);
  for (const how of ["end", "kill", "end"] as const) {
    const { saidCount } = players;
    await until(() => players.saidCount >= saidCount + MESSAGES);
    await stage.restartEdge(how);
    await until(() => players.establishedCount === PLAYERS, SETTLE_MS);
  }
  clearInterval(speaking);
  await until(() => players.hasHeardAll, SETTLE_MS).catch(() => undefined);
  expect(players.troubles).toEqual([]);
  expect(players.faults()).toEqual([]);
  expect(players.gapsMs.length).toBeGreaterThanOrEqual(3 * PLAYERS);
});

it("a player who leaves is gone at once; one who is absent for 30 s is gone then, and comes back as a new one", async () => {
  const proxy = await TcpProxy.open(stage.haproxy.port);
  try {
    fleet = await join(proxy.port, 1);
    const leavers = await join(stage.haproxy.port, 1);
    const [absent, leaver] = [fleet.players[0], leavers.players[0]];
    const before = absent?.member;
    expect(await members()).toHaveLength(2);

    await leavers.leave();
    expect(await leaver?.closed).toMatchObject({ code: ClosedCode.Left });
    expect(await members()).toEqual([expect.objectContaining({ member: before, connected: true })]);

    const reasons: string[] = [];
    const resumed: boolean[] = [];
    absent?.on("handoverFailed", ({ reason }) => reasons.push(reason));
    absent?.on("joined", (joined) => resumed.push(joined.resumed));
    const startMs = performance.now();
    proxy.refuse();
    await until(async () => (await members())[0]?.connected === false);
    await until(async () => (await members()).length === 0, SETTLE_MS);
    expect(performance.now() - startMs).toBeGreaterThan(29_000);

    proxy.restore();
    await until(() => absent?.state === "Established", SETTLE_MS);
    expect(reasons).toHaveLength(1);
    expect(resumed).toEqual([false]);
    expect(absent?.member).not.toBe(before);
    expect(leaver?.state).toBe("None");
  } finally {
    await proxy.close();
  }
});
