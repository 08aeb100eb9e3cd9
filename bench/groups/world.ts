import { randomBytes } from "node:crypto";
import { parseToken, splitToken } from "../../protocol/session-token.ts";
import type { BenchGroup, BenchOptions, CaseTitle } from "../harness/bench-case.ts";
import { judge, median } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup, type Program } from "../harness/processes.ts";
import type { OpenJob, OpenPlace } from "../load/open-load.ts";
import { startRedis, startRedisRest } from "../ours/start-ours.ts";
import { buildOurWorker, startEdges } from "../ours/start-worker.ts";
import { expressCookie } from "../peers/session-secret.ts";
import { startHttpPeer } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { CITIES, SAME_CITY_MS } from "../world/cities.ts";
import { startCityBridges } from "../world/city-bridges.ts";
import { type DelayedRoute, startDelayProxy } from "../world/delay-proxy.ts";
import { checkPacket, connectRedisId, fillConnectRedis, issueTokens } from "./sessions.ts";

/** Clients in each city, and how often each of them is checked in a second: the parts of a page, or the packets of a game. */
const CLIENTS_PER_CITY = 1;
const CHECKS_PER_CLIENT = 4;
const CHECKS_PER_SECOND = CITIES.length * CLIENTS_PER_CITY * CHECKS_PER_CLIENT;

/** At 4 checks a second and 280 ms, 2 are in flight; the others are for checks that take longer. */
const CONNECTIONS_PER_CITY = 6;

const MIN_LEG_SECONDS = 4;

/** Ways to a verdict; the first is what the others are compared with. */
const WAYS = [
  { name: "central Express", what: "Express beside its Redis, in Frankfurt" },
  { name: "edge", what: "the nearest edge, which asks the store in Frankfurt each time" },
  { name: "edge, max-age=1", what: "the same, with a response of up to 1 s of age" },
  { name: "bridge", what: "a bridge beside the game server, from its memory" },
] as const;
type WayName = (typeof WAYS)[number]["name"];

/** Ratios to the central server: no slower where each check goes there as well, and a tenth where it need not. */
const TARGETS: Readonly<Record<WayName, Readonly<Record<Quantile, number>>>> = {
  "central Express": { p50: 1, p90: 1, p99: 1 },
  edge: { p50: 1.1, p90: 1.1, p99: 1.1 },
  "edge, max-age=1": { p50: 0.1, p90: 1.1, p99: 1.1 },
  bridge: { p50: 0.1, p90: 0.1, p99: 0.1 },
};

const QUANTILES = { p50: 49, p90: 89, p99: 98 } as const;
type Quantile = keyof typeof QUANTILES;

/** Checks from 40 cities, weighted by their population, over the distances of an earth with one store. */
export const world: BenchGroup = {
  name: "world",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const drivers = await startWorld(cleanup, options);
      const legs = await measure(drivers, options);
      return WAYS.slice(1).flatMap(({ name, what }) => resultsOf(name, what, legs));
    }),
};

type Drivers = ReadonlyMap<WayName, LoadDriver>;

/** Starts the programs, the distances between them, and a load for each way to a verdict. */
async function startWorld(cleanup: Cleanup, { progress }: BenchOptions): Promise<Drivers> {
  progress(`world: ${CITIES.length} cities, ${CHECKS_PER_SECOND} checks a second`);
  const redis = await startRedis();
  cleanup.add(redis.program);
  const rest = await startRedisRest(redis.url);
  cleanup.add(rest.program);
  const worker = cleanup.addRemoval(await buildOurWorker());
  const delay = async (routes: readonly DelayedRoute[]) => {
    const { ports, program } = await startDelayProxy(routes);
    cleanup.add(program);
    return ports;
  };

  const storePorts = await delay(CITIES.map(({ centreMs }) => ({ port: rest.port, roundTripMs: centreMs })));
  const apiKey = randomBytes(24).toString("base64url");
  // The first is the edge beside the store, where the bridges' leases are.
  const edges = await startEdges(
    worker,
    [rest.port, ...storePorts].map((port) => ({
      API_KEYS: apiKey,
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${port}`,
      UPSTASH_REDIS_REST_TOKEN: rest.token,
    })),
  );
  cleanup.add(edges.program);
  const [centralEdge = 0, ...cityEdges] = edges.ports;
  const express = await startHttpPeer(cleanup, "express-server.ts");

  const edgePorts = await delay(cityEdges.map((port) => ({ port, roundTripMs: SAME_CITY_MS })));
  const expressPorts = await delay(CITIES.map(({ centreMs }) => ({ port: express.port, roundTripMs: centreMs })));
  const bridgeEdges = await delay(CITIES.map(({ centreMs }) => ({ port: centralEdge, roundTripMs: centreMs })));
  const bridges = await startCityBridges({ apiKey, edgePorts: bridgeEdges });
  cleanup.add(bridges.program);

  const clients = CITIES.length * CLIENTS_PER_CITY;
  await fillConnectRedis(express.redisUrl, { sessions: clients, users: clients });
  const tokens = await issueTokens({ edgePort: centralEdge, apiKey }, clients);
  progress("world: the first check at each edge, which starts its isolate");
  for (const port of cityEdges) await firstCheck(port, tokens[0] ?? "");
  const places = (ports: readonly number[], requestOf: (client: number) => string): OpenPlace[] =>
    CITIES.map(({ millions }, city) => ({
      port: ports[city] ?? 0,
      connections: CONNECTIONS_PER_CITY,
      weight: millions,
      requests: Array.from({ length: CLIENTS_PER_CITY }, (_, client) => requestOf(city * CLIENTS_PER_CITY + client)),
    }));
  const bearer = (client: number) => `Authorization: Bearer ${tokens[client]}`;
  const loads: readonly [WayName, OpenJob["protocol"], OpenPlace[], readonly Program[]][] = [
    [
      "central Express",
      "http",
      places(expressPorts, (client) => getRequest("/check", expressCookie(connectRedisId(client)))),
      express.programs,
    ],
    ["edge", "http", places(edgePorts, (client) => getRequest("/v1/check", bearer(client))), [edges.program]],
    [
      "edge, max-age=1",
      "http",
      places(edgePorts, (client) => getRequest("/v1/check", `${bearer(client)}\r\nCache-Control: max-age=1`)),
      [edges.program],
    ],
    ["bridge", "packets", places(bridges.ports, (client) => checkPacket(sessidOf(tokens[client]))), [bridges.program]],
  ];
  const drivers = new Map<WayName, LoadDriver>();
  for (const [name, protocol, from, programs] of loads) {
    const job: OpenJob = { protocol, perSecond: CHECKS_PER_SECOND, places: from };
    drivers.set(name, cleanup.add(await LoadDriver.start("open-load.ts", job, programs)));
  }
  return drivers;
}

const FIRST_CHECK_TRIES = 20;

/** Checks at an edge until it answers from the store: its isolate starts with the first request, and may take longer than the store may. */
async function firstCheck(port: number, token: string): Promise<void> {
  for (let tries = 0; tries < FIRST_CHECK_TRIES; tries++) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/check`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    await response.arrayBuffer();
    if (response.ok) return;
  }
  throw new Error(`the edge at port ${port} does not answer`);
}

function getRequest(path: string, headers: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n\r\n`;
}

function sessidOf(token = ""): number {
  const bytes = parseToken(token);
  if (bytes === undefined) throw new Error("the edge gave a token that is none");
  return splitToken(bytes).sessid;
}

/** The percentiles of each way, leg by leg. */
type Legs = ReadonlyMap<WayName, readonly (readonly number[])[]>;

async function measure(drivers: Drivers, { seconds, pairs, progress }: BenchOptions): Promise<Legs> {
  const legSeconds = Math.max(MIN_LEG_SECONDS, seconds);
  for (const driver of drivers.values()) await driver.run(legSeconds);
  const legs = new Map<WayName, (readonly number[])[]>();
  for (let pair = 1; pair <= pairs; pair++) {
    for (const [name, driver] of drivers) {
      const { percentilesMs = [] } = await driver.run(legSeconds);
      legs.set(name, [...(legs.get(name) ?? []), percentilesMs]);
      const [p50, p90, p99] = Object.values(QUANTILES).map((index) => percentilesMs[index]?.toFixed(1));
      progress(`world, ${name}, ${pair}/${pairs}: p50 ${p50}, p90 ${p90}, p99 ${p99} ms`);
    }
  }
  return legs;
}

function resultsOf(name: WayName, what: string, legs: Legs): CaseResult[] {
  const ours = legs.get(name) ?? [];
  const peer = legs.get(WAYS[0].name) ?? [];
  return (Object.keys(QUANTILES) as Quantile[]).map((quantile) => {
    const title: CaseTitle = {
      group: "world",
      name: `time to a verdict, ${name}, ${quantile}`,
      against: `${WAYS[0].what}; ours: ${what}`,
      unit: "ms",
      target: { op: "<=", value: TARGETS[name][quantile] },
    };
    const at = (leg: readonly number[] | undefined) => leg?.[QUANTILES[quantile]] ?? Number.NaN;
    const result = judge(
      title,
      ours.map((leg, index) => ({ ours: at(leg), peer: at(peer[index]) })),
    );
    // Once for each way: the chart draws them.
    return quantile === "p50" ? { ...result, percentiles: { ours: medians(ours), peer: medians(peer) } } : result;
  });
}

/** The median of each percentile over the legs. */
function medians(legs: readonly (readonly number[])[]): number[] {
  return Array.from({ length: 99 }, (_, index) => median(legs.map((leg) => leg[index] ?? Number.NaN)));
}
