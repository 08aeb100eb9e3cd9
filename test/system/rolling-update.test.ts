import { setTimeout as pause } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Connector } from "../../client/connector.ts";
import { SessionWatch, type WatchEvent } from "../../client/session-watch.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { PlayerFleet } from "../support/peers/player-fleet.ts";
import { until } from "../support/until.ts";
import { epochMs, MachineStalls } from "../support/updates/machine-stalls.ts";
import { UpdateLoad } from "../support/updates/update-load.ts";
import { UpdateStage } from "../support/updates/update-stage.ts";

const PLAYERS = 100;
/** 500 deliveries a second. */
const PUBLISH_EVERY_MS = 200;
const WATCHERS = 2;
/** No check may take longer because a part is replaced. */
const CHECK_BOUND_MS = 1_000;
/** A machine on which the same checks take longer while nothing is replaced is too busy to answer each in time. */
const BUSY_MS = 150;
/** How long the load runs before the first part is replaced, and after each. */
const BETWEEN_MS = 2_000;
/** How long the slowest machine may need until everybody is back. */
const RECOVERY_MS = 60_000;

let stage: UpdateStage;
/** Ends what a test has started, the last first. */
const stops: (() => unknown)[] = [];
beforeEach(async () => {
  stage = await UpdateStage.open();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await stage?.close();
});

test("two bridges and two edges are replaced in turn: no verdict is wrong, no message and no end is lost, and no check takes 1 s", async () => {
  const stalls = new MachineStalls();
  const fleet = await joinPlayers();
  const watches = await Promise.all(Array.from({ length: WATCHERS }, openWatch));
  const load = new UpdateLoad(stage.places);
  const { checks, deleted } = load.truth;
  let publisher = 0;
  const publishing = setInterval(() => fleet.publish(publisher++ % PLAYERS), PUBLISH_EVERY_MS);
  const phases: Phase[] = [{ name: "before", replaces: false, fromMs: epochMs() }];
  await pause(BETWEEN_MS);
  for (const part of stage.parts) {
    phases.push({ name: part.name, replaces: true, fromMs: epochMs() });
    await part.replace();
    await until(() => fleet.establishedCount === PLAYERS, RECOVERY_MS);
    phases.push({ name: `after ${part.name}`, replaces: false, fromMs: epochMs() });
    await pause(BETWEEN_MS);
  }
  clearInterval(publishing);
  await load.stop();
  await until(() => fleet.receivedAll, RECOVERY_MS).catch(() => undefined);
  await until(() => watches.every((told) => told.length >= deleted.size), RECOVERY_MS).catch(() => undefined);
  await stalls.stop();

  const measured = phases.map((phase, index) => measure(phase, phases[index + 1]?.fromMs, load, stalls));
  reportPlayers(fleet);
  // What the same checks take on this machine at the same time, under the same load.
  const anywayMs = Math.max(...measured.filter(({ replaces }) => !replaces).map(({ slowestMs }) => slowestMs));
  const isBusy = anywayMs >= BUSY_MS;
  // On a busy one, half of the parts take twice as long.
  const boundMs = isBusy ? CHECK_BOUND_MS + 2 * anywayMs : CHECK_BOUND_MS;
  expect(checks.filter(({ wrong }) => wrong !== undefined)).toEqual([]);
  if (!isBusy) expect(checks.flatMap(({ refusals }) => refusals)).toEqual([]);
  for (const { name, slowestMs } of measured.filter(({ replaces }) => replaces)) {
    expect(slowestMs, `the slowest check while ${name} is replaced`).toBeLessThan(boundMs);
  }
  expect(fleet.troubles).toEqual([]);
  expect(fleet.faults()).toEqual([]);
  expect(fleet.gapsMs.length).toBeGreaterThanOrEqual(PLAYERS);
  for (const told of watches) {
    expect(told.filter(({ kind }) => kind !== "ended")).toEqual([]);
    const ended = told.flatMap((event) => (event.kind === "ended" ? [event.sessid] : []));
    expect(ended.toSorted((one, other) => one - other)).toEqual([...deleted].toSorted((one, other) => one - other));
  }
});

async function joinPlayers(): Promise<PlayerFleet> {
  const { places, haproxy } = stage;
  const users = Array.from({ length: PLAYERS }, (_, index) => `player-${index}`);
  const tokens: Uint8Array[] = [];
  for (const user of users) tokens.push(parseToken(await until(() => issue(user))) ?? new Uint8Array(0));
  const fleet = new PlayerFleet({ port: haproxy.port, ca: places.ca, room: "arena", tokens });
  stops.push(() => fleet.leave());
  fleet.connect();
  await until(() => fleet.establishedCount === PLAYERS, RECOVERY_MS);
  return fleet;
}

async function issue(user: string): Promise<string> {
  const { edgeUrl, apiKey, ca } = stage.places;
  const agent = new Agent({ connect: { ca } });
  const { statusCode, body } = await request(`${edgeUrl}/v1/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ user }),
    dispatcher: agent,
  });
  const text = await body.text();
  await agent.close();
  if (statusCode !== 201) throw new Error(`HTTP status ${statusCode}: ${text}`);
  return (JSON.parse(text) as { token: string }).token;
}

/** A game server that is told of all ends. Returns what it is told from now on, but for checkpoints. */
async function openWatch(): Promise<readonly WatchEvent[]> {
  const { gamePort: port, ca, serviceKey } = stage.places;
  const connector = new Connector({ host: "127.0.0.1", port, tls: { ca } });
  const watch = await SessionWatch.open({ connector, client: { serviceKey }, scope: "all" });
  stops.push(() => watch.close());
  const told: WatchEvent[] = [];
  void (async () => {
    for await (const event of watch) if (event.kind !== "checkpoint") told.push(event);
  })();
  return told;
}

interface Phase {
  readonly name: string;
  /** Whether a part is replaced in it. */
  readonly replaces: boolean;
  readonly fromMs: number;
}

/** Prints what the checks and writes of a phase took, as their callers saw it. */
function measure(
  { name, replaces, fromMs }: Phase,
  toMs = Number.POSITIVE_INFINITY,
  { truth, writes }: UpdateLoad,
  stalls: MachineStalls,
): Pick<Phase, "name" | "replaces"> & { readonly slowestMs: number } {
  const isOfPhase = (ms: number) => ms >= fromMs && ms < toMs;
  const checks = truth.checks.filter(({ firstAskedMs }) => isOfPhase(firstAskedMs));
  const checksMs = checks.map(({ firstAskedMs, answeredMs }) => answeredMs - firstAskedMs);
  const writesOfPhase = writes.filter(({ startedMs }) => isOfPhase(startedMs));
  const again = (asked: readonly { readonly refusals: readonly string[] }[]) =>
    asked.filter(({ refusals }) => refusals.length > 0).length;
  process.stdout.write(
    `${name}: checks ${summary(checksMs)}, ${again(checks)} asked again; ` +
      `writes ${summary(writesOfPhase.map(({ durationMs }) => durationMs))}, ${again(writesOfPhase)} tried again; ` +
      `a bystander waited ${Math.round(stalls.longestWithin(fromMs, toMs))} ms\n`,
  );
  // Without what the machine let programs wait anyway.
  const ownMs = checks.map(({ firstAskedMs, answeredMs }) => {
    return answeredMs - firstAskedMs - stalls.longestWithin(firstAskedMs, answeredMs);
  });
  return { name, replaces, slowestMs: Math.max(0, ...ownMs) };
}

function reportPlayers({ gapsMs, publishedCount }: PlayerFleet): void {
  process.stdout.write(`${publishedCount} messages; handovers ${summary(gapsMs)}\n`);
}

/** How many there are, and their distribution. */
function summary(values: readonly number[]): string {
  const sorted = values.toSorted((one, other) => one - other);
  const [p50, p99, slowest] = [0.5, 0.99, 1].map((share) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN),
  );
  return `${values.length}, p50 ${p50}, p99 ${p99}, slowest ${slowest} ms`;
}
