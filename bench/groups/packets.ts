import type { BenchGroup, CaseTitle } from "../harness/bench-case.ts";
import { measureRates } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { Cleanup } from "../harness/processes.ts";
import { startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startDirectServer } from "../peers/start-peers.ts";
import { SESSIONS, seedSessions } from "./sessions.ts";

/** The direct server with ioredis pipelining by itself, as its README advises, or as it comes. */
type Peer = "tuned" | "plain";

interface PacketCase extends Pick<CaseTitle, "name" | "target"> {
  readonly kind: "check" | "register";
  readonly peer: Peer;
  readonly connections: number;
  readonly pipelined: number;
}

/** Verdicts for game servers: bridge, workerd, redis-rest and Redis against a server that asks Redis itself. */
export const checks = packetGroup("checks", [
  ...againstBoth({
    kind: "check",
    name: "checks, 32 connections x 64",
    connections: 32,
    pipelined: 64,
    target: { op: ">=", value: 4 },
  }),
  ...againstBoth({
    kind: "check",
    name: "checks, 32 connections x 1",
    connections: 32,
    pipelined: 1,
    target: { op: ">=", value: 0.6 },
  }),
]);

/** Registrations of sessions that live already: with indices and counts on our side, the value alone on the other. */
export const registers = packetGroup(
  "registers",
  againstBoth({
    kind: "register",
    name: "registers, 32 connections x 16",
    connections: 32,
    pipelined: 16,
    target: { op: ">=", value: 1 },
  }),
);

function againstBoth(title: Omit<PacketCase, "peer">): PacketCase[] {
  return [
    { ...title, peer: "tuned" },
    { ...title, name: `${title.name}, plain peer`, peer: "plain" },
  ];
}

function describePeer(kind: PacketCase["kind"], peer: Peer): string {
  const command = { check: "GET per check", register: "SET EX per session" }[kind];
  return `Node TCP server, one ${command} (ioredis, ${peer === "tuned" ? "auto-pipelining" : "as it comes"})`;
}

function packetGroup(group: string, cases: readonly PacketCase[]): BenchGroup {
  return {
    name: group,
    run: (options) =>
      Cleanup.around(async (cleanup) => {
        const worker = cleanup.addRemoval(await buildOurWorker());
        const ours = cleanup.add(await startOurs(worker));
        const peers = { tuned: await startDirectServer(cleanup, true), plain: await startDirectServer(cleanup, false) };
        const results = [];
        for (const { kind, peer, connections, pipelined, ...title } of cases) {
          const { port, programs } = peers[peer];
          options.progress(`${title.name}: ${SESSIONS} sessions on both sides`);
          // Before every case, so that each begins at the same distance from the next touch.
          await seedSessions(ours.gamePort);
          await seedSessions(port);
          const job = { kind, connections, pipelined, sessions: SESSIONS };
          const a = await LoadDriver.start("packet-load.ts", { ...job, port: ours.gamePort }, ours.programs);
          const b = await LoadDriver.start("packet-load.ts", { ...job, port }, programs);
          const against = describePeer(kind, peer);
          results.push(await measureRates({ group, unit: `${kind}s/s`, against, ...title }, a, b, options));
          await a.stop();
          await b.stop();
        }
        return results;
      }),
  };
}
