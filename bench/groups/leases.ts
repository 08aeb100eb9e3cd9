import { Redis } from "ioredis";
import { type BenchGroup, type BenchOptions, type CaseTitle, judge, type Pair } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup } from "../harness/processes.ts";
import type { DeleteJob } from "../load/delete-load.ts";
import type { LeasedBridgesJob } from "../load/leased-bridges.ts";
import { type Ours, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import type { CaseResult } from "../report/results.ts";

/** How many bridges hold leases. */
const FLEETS = [1, 10, 100];

/** The bridge that the deletes pass through holds no lease: only those of the fleet are waited for. */
const WITHOUT_LEASE = { bridge: { BRIDGE_CACHE_SESSIONS: "0" } };

const DELETING_CONNECTIONS = 4;

/** The default of REVOCATION_BOUND_MS. */
const BOUND_MS = 1_000;

/** What a delete costs that waits for every bridge with a lease. */
export const revocations: BenchGroup = {
  name: "revocations",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const [leased, free] = [
        cleanup.add(await startOurs(worker, WITHOUT_LEASE)),
        cleanup.add(await startOurs(worker, WITHOUT_LEASE)),
      ];
      const [a, b] = [await startDeletes(leased), await startDeletes(free)];
      const results: CaseResult[] = [];
      for (const bridges of FLEETS) {
        const fleet = await startFleet(leased, bridges);
        results.push(...(await compareDeletes(bridges, a, b, options)));
        await fleet.stop();
      }
      for (const driver of [a, b]) await driver.stop();
      return results;
    }),
};

function startDeletes({ gamePort, programs }: Ours): Promise<LoadDriver> {
  const job: DeleteJob = { port: gamePort, connections: DELETING_CONNECTIONS };
  return LoadDriver.start("delete-load.ts", job, programs);
}

/** Starts bridges without game servers, and resolves when each of them holds a lease. */
function startFleet({ edgePort, apiKey }: Ours, bridges: number): Promise<LoadDriver> {
  const job: LeasedBridgesJob = { edgePort, apiKey, bridges };
  return LoadDriver.start("leased-bridges.ts", job, []);
}

async function compareDeletes(
  bridges: number,
  ours: LoadDriver,
  peer: LoadDriver,
  { seconds, pairs, progress }: BenchOptions,
): Promise<CaseResult[]> {
  for (const driver of [ours, peer]) await driver.run(seconds / 2);
  const p50: Pair[] = [];
  const p99: Pair[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    const [leased, free] = [await ours.run(seconds), await peer.run(seconds)].map(
      ({ latencyMs = { p50: Number.NaN, p99: Number.NaN } }) => latencyMs,
    );
    if (leased === undefined || free === undefined) throw new Error("a leg without a report");
    p50.push({ ours: leased.p50, peer: free.p50 });
    p99.push({ ours: leased.p99, peer: free.p99 });
    const [mine, theirs] = [leased, free].map((leg) => `${leg.p50.toFixed(1)} (${leg.p99.toFixed(1)})`);
    progress(`delete with ${bridges} leases p50 (p99), pair ${pair}/${pairs}: ${mine} to ${theirs} ms`);
  }
  const name = `delete with ${bridges} leased bridge${bridges === 1 ? "" : "s"}`;
  const title = { group: "revocations", against: "the same without leases", unit: "ms" } as const;
  // What a delete waits for is stated, not judged: only the bound is promised.
  const stated = { op: ">=", value: 0 } as const;
  const bound = p99.map((pair) => ({ ours: pair.ours, peer: BOUND_MS }));
  return [
    judge({ ...title, name: `${name}, p50`, target: stated }, p50),
    judge({ ...title, name: `${name}, p99`, target: stated }, p99),
    judge(
      {
        ...title,
        name: `${name}, p99 and the bound`,
        against: "REVOCATION_BOUND_MS, its default",
        target: { op: "<=", value: 1 },
      },
      bound,
    ),
  ];
}

/** Script calls a second that an idle fleet may cost Redis. */
const MAX_CALLS_PER_SECOND = 4;

/** The hub reads the log four times a second at most, so that a shorter window would count chance. */
const MIN_WINDOW_SECONDS = 4;

/** What Redis is asked for while bridges hold leases and nothing else happens. */
export const idleFleets: BenchGroup = {
  name: "idle-fleets",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const fleets: { bridges: number; redis: Redis }[] = [];
      for (const bridges of FLEETS) {
        const ours = cleanup.add(await startOurs(worker, WITHOUT_LEASE));
        cleanup.add(await startFleet(ours, bridges));
        const redis = new Redis(ours.redisUrl);
        cleanup.add({ stop: async () => redis.disconnect() });
        fleets.push({ bridges, redis });
      }
      const rates = await Promise.all(fleets.map(({ redis }) => callRates(redis, options)));
      return fleets.flatMap(({ bridges }, index) => fleetResults(bridges, rates[index] ?? [], rates[0] ?? []));
    }),
};

/** Calls a second: of scripts, and of commands, those within scripts included. */
interface CallRate {
  readonly scripts: number;
  readonly commands: number;
}

/** All fleets are watched at the same time, each in windows one after another. */
async function callRates(redis: Redis, { seconds, pairs, progress }: BenchOptions): Promise<CallRate[]> {
  const windowSeconds = Math.max(MIN_WINDOW_SECONDS, seconds);
  const rates: CallRate[] = [];
  let before = await countCalls(redis);
  for (let window = 1; window <= pairs; window++) {
    const startMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, windowSeconds * 1_000));
    const after = await countCalls(redis);
    const tookSeconds = (performance.now() - startMs) / 1_000;
    rates.push({
      scripts: (after.scripts - before.scripts) / tookSeconds,
      commands: (after.commands - before.commands) / tookSeconds,
    });
    before = after;
    progress(`idle fleet, window ${window}/${pairs}: ${rates.at(-1)?.scripts.toFixed(2)} script calls/s`);
  }
  return rates;
}

async function countCalls(redis: Redis): Promise<{ scripts: number; commands: number }> {
  const stats = await redis.info("commandstats");
  let [scripts, commands] = [0, 0];
  for (const [, name = "", calls] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    if (name === "info") continue;
    if (/^evalsha(?:_ro)?$/.test(name)) scripts += Number(calls);
    commands += Number(calls);
  }
  return { scripts, commands };
}

function fleetResults(bridges: number, rates: readonly CallRate[], ofOne: readonly CallRate[]): CaseResult[] {
  const title = (name: string, against: string): CaseTitle => ({
    group: "idle-fleets",
    name,
    against,
    unit: "calls/s",
    target: { op: "<=", value: 1 },
  });
  const name = `script calls to Redis, idle fleet of ${bridges}`;
  const commands = rates.map((rate) => rate.commands).toSorted((a, b) => a - b);
  const seen = { "commands a second": commands[Math.floor(commands.length / 2)] ?? Number.NaN };
  const results = [
    judge(
      title(name, `${MAX_CALLS_PER_SECOND} a second`),
      rates.map(({ scripts }) => ({ ours: scripts, peer: MAX_CALLS_PER_SECOND })),
      seen,
    ),
  ];
  if (bridges > 1) {
    // A renewal more or less in a window is chance.
    const same = { ...title(`${name}, as many as of 1`, "the fleet of 1"), target: { op: "<=", value: 1.1 } } as const;
    results.push(
      judge(
        same,
        rates.map(({ scripts }, index) => ({ ours: scripts, peer: ofOne[index]?.scripts ?? Number.NaN })),
      ),
    );
  }
  return results;
}
