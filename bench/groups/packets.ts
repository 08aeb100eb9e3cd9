import type { BenchGroup, BenchOptions, CaseTitle } from "../harness/bench-case.ts";
import { judge, measureRates } from "../harness/bench-case.ts";
import { type Leg, LoadDriver } from "../harness/load-driver.ts";
import { Cleanup } from "../harness/processes.ts";
import type { OpenJob } from "../load/open-load.ts";
import type { PacketJob } from "../load/packet-load.ts";
import { type OursVariables, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { type DirectServerOptions, startDirectServer } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { checkPacket, checkSessions, SESSIONS, seedSessions } from "./sessions.ts";

/** A direct server, and how it is described. */
interface Peer extends DirectServerOptions {
  readonly against: string;
}

/** ioredis pipelining by itself, as its README advises, and as it comes. */
const CHECKED_BY_TUNED: Peer = {
  autoPipelining: true,
  against: "Node TCP server, one GET per check (ioredis, auto-pipelining)",
};
const CHECKED_BY_PLAIN: Peer = {
  autoPipelining: false,
  against: "Node TCP server, one GET per check (ioredis, as it comes)",
};
const REGISTERED_BY_FAIR: Peer = {
  autoPipelining: true,
  indices: true,
  against: "Node TCP server, SET, ZADD x3 and PEXPIREAT per session (ioredis, auto-pipelining)",
};
const REGISTERED_BY_TUNED: Peer = {
  autoPipelining: true,
  against: "Node TCP server, one SET EX per session (ioredis, auto-pipelining)",
};
const REGISTERED_BY_PLAIN: Peer = {
  autoPipelining: false,
  against: "Node TCP server, one SET EX per session (ioredis, as it comes)",
};

interface PacketCase extends Pick<CaseTitle, "name" | "target"> {
  readonly kind: PacketJob["kind"];
  readonly peer: Peer;
  readonly connections: number;
  readonly pipelined: number;
}

const BY_64 = { kind: "check", name: "checks, 32 connections x 64", connections: 32, pipelined: 64 } as const;
const BY_1 = { kind: "check", name: "checks, 32 connections x 1", connections: 32, pipelined: 1 } as const;

/** Verdicts for game servers on sessions that the bridge knows, against a server that asks Redis itself. */
export const checks = packetGroup(
  "checks",
  [
    { ...BY_64, peer: CHECKED_BY_TUNED, target: { op: ">=", value: 8 } },
    { ...BY_64, name: `${BY_64.name}, plain peer`, peer: CHECKED_BY_PLAIN, target: { op: ">=", value: 8 } },
    { ...BY_1, peer: CHECKED_BY_TUNED, target: { op: ">=", value: 2 } },
    { ...BY_1, name: `${BY_1.name}, plain peer`, peer: CHECKED_BY_PLAIN, target: { op: ">=", value: 2 } },
  ],
  { measureMore: openLoop },
);

/** A bridge that keeps no session asks the store for each verdict. */
const COLD = { bridge: { BRIDGE_CACHE_SESSIONS: "0" } };

/** The same without the bridge's memory: bridge, workerd, redis-rest and Redis. The targets are what was measured before it had one. */
export const coldChecks = packetGroup(
  "cold-checks",
  [
    { ...BY_64, name: `${BY_64.name}, cold`, peer: CHECKED_BY_TUNED, target: { op: ">=", value: 1.8 } },
    { ...BY_1, name: `${BY_1.name}, cold`, peer: CHECKED_BY_TUNED, target: { op: ">=", value: 0.36 } },
  ],
  { variables: COLD },
);

const REGISTERS = { kind: "register", connections: 32, pipelined: 16, target: { op: ">=", value: 1 } } as const;

/** Registrations of sessions that live already. */
export const registers = packetGroup("registers", [
  { ...REGISTERS, name: "registers, 32 connections x 16", peer: REGISTERED_BY_FAIR },
  { ...REGISTERS, name: "registers, 32 connections x 16, SET alone", peer: REGISTERED_BY_TUNED },
  { ...REGISTERS, name: "registers, 32 connections x 16, SET alone, plain peer", peer: REGISTERED_BY_PLAIN },
]);

/** A side of a case: the port for its packets, and its processes. */
interface Side {
  readonly port: number;
  readonly programs: Parameters<typeof LoadDriver.start>[2];
}

interface PacketGroupOptions {
  readonly variables?: OursVariables;
  /** Further cases with the same bridge, whose sessions it knows, and the peer of the first case. */
  readonly measureMore?: (group: string, ours: Side, peer: Side, options: BenchOptions) => Promise<CaseResult[]>;
}

function packetGroup(
  group: string,
  cases: readonly PacketCase[],
  { variables = {}, measureMore }: PacketGroupOptions = {},
): BenchGroup {
  return {
    name: group,
    run: (options) =>
      Cleanup.around(async (cleanup) => {
        const worker = cleanup.addRemoval(await buildOurWorker());
        const started = cleanup.add(await startOurs(worker, variables));
        const ours: Side = { port: started.gamePort, programs: started.programs };
        const peers = new Map<Peer, Side>();
        const results: CaseResult[] = [];
        for (const { kind, peer, connections, pipelined, ...title } of cases) {
          const server = peers.get(peer) ?? (await startDirectServer(cleanup, peer));
          peers.set(peer, server);
          options.progress(`${title.name}: ${SESSIONS} sessions on both sides`);
          // Before every case, so that each begins at the same distance from the next touch.
          for (const { port } of [ours, server]) await seedSessions(port);
          if (kind === "check") await checkSessions(ours.port);
          const job = { kind, connections, pipelined, sessions: SESSIONS };
          const a = await LoadDriver.start("packet-load.ts", { ...job, port: ours.port }, ours.programs);
          const b = await LoadDriver.start("packet-load.ts", { ...job, port: server.port }, server.programs);
          const { against } = peer;
          results.push(await measureRates({ group, unit: `${kind}s/s`, against, ...title }, a, b, options));
          await a.stop();
          await b.stop();
        }
        const [first] = peers.values();
        if (first !== undefined && measureMore !== undefined) {
          results.push(...(await measureMore(group, ours, first, options)));
        }
        return results;
      }),
  };
}

const CHECKS_PER_SECOND = 1_000;

/** p99 needs some hundred checks above it. */
const MIN_OPEN_SECONDS = 3;

/** What a single check takes while a thousand a second are made, whether or not earlier ones were answered. */
async function openLoop(group: string, ours: Side, peer: Side, options: BenchOptions): Promise<CaseResult[]> {
  await checkSessions(ours.port);
  const requests = Array.from({ length: 1_000 }, (_, index) => checkPacket(1 + index * (SESSIONS / 1_000)));
  const start = ({ port, programs }: Side) => {
    const place = { port, connections: 32, weight: 1, requests };
    const job: OpenJob = { protocol: "packets", perSecond: CHECKS_PER_SECOND, places: [place] };
    return LoadDriver.start("open-load.ts", job, programs);
  };
  const [a, b] = [await start(ours), await start(peer)];
  const seconds = Math.max(MIN_OPEN_SECONDS, options.seconds);
  for (const driver of [a, b]) await driver.run(1);
  const legs: { ours: Leg; peer: Leg }[] = [];
  for (let pair = 1; pair <= options.pairs; pair++) {
    const leg = { ours: await a.run(seconds), peer: await b.run(seconds) };
    legs.push(leg);
    const [mine, theirs] = [leg.ours, leg.peer].map(
      ({ latencyMs }) => `${latencyMs?.p50.toFixed(2)} (${latencyMs?.p99.toFixed(2)})`,
    );
    options.progress(`open loop p50 (p99), pair ${pair}/${options.pairs}: ${mine} to ${theirs} ms`);
  }
  for (const driver of [a, b]) await driver.stop();
  return (["p50", "p99"] as const).map((quantile) => {
    const title: CaseTitle = {
      group,
      name: `a check at ${CHECKS_PER_SECOND}/s, open loop, ${quantile}`,
      against: CHECKED_BY_TUNED.against,
      unit: "ms",
      target: { op: "<=", value: 1 },
    };
    const pairs = legs.map((leg) => ({
      ours: leg.ours.latencyMs?.[quantile] ?? Number.NaN,
      peer: leg.peer.latencyMs?.[quantile] ?? Number.NaN,
    }));
    return judge(title, pairs);
  });
}
