import type { BenchGroup, CaseTitle } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/cleanup.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import { measureRates } from "../harness/measure-pairs.ts";
import { startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startDirectServer } from "../peers/start-direct-server.ts";
import { SESSIONS, seedSessions } from "./seed-sessions.ts";

interface PacketCase extends Pick<CaseTitle, "name" | "against" | "target"> {
  readonly kind: "check" | "register";
  readonly connections: number;
  readonly pipelined: number;
}

/** Verdicts for game servers: bridge, workerd, redis-rest and Redis against a server that asks Redis itself. */
export const checks = packetGroup("checks", [
  {
    kind: "check",
    name: "checks, 32 connections x 64",
    against: "Node TCP server, one GET per check (ioredis, auto-pipelining)",
    connections: 32,
    pipelined: 64,
    target: { op: ">=", value: 4 },
  },
  {
    kind: "check",
    name: "checks, 32 connections x 1",
    against: "Node TCP server, one GET per check (ioredis, auto-pipelining)",
    connections: 32,
    pipelined: 1,
    target: { op: ">=", value: 0.6 },
  },
]);

/** New sessions, with indices and counts on our side. */
export const registers = packetGroup("registers", [
  {
    kind: "register",
    name: "registers, 32 connections x 16",
    against: "Node TCP server, one SET EX per session (ioredis, auto-pipelining)",
    connections: 32,
    pipelined: 16,
    target: { op: ">=", value: 1 },
  },
]);

function packetGroup(group: string, cases: readonly PacketCase[]): BenchGroup {
  return {
    name: group,
    run: (options) =>
      Cleanup.around(async (cleanup) => {
        const worker = cleanup.addRemoval(await buildOurWorker());
        const ours = cleanup.add(await startOurs(worker));
        const peer = await startDirectServer(cleanup);
        const results = [];
        for (const { kind, connections, pipelined, ...title } of cases) {
          options.progress(`${title.name}: ${SESSIONS} sessions on both sides`);
          // Before every case, so that each begins at the same distance from the next touch.
          await seedSessions(ours.gamePort);
          await seedSessions(peer.port);
          const job = { kind, connections, pipelined, sessions: SESSIONS };
          const a = await LoadDriver.start("packet-load.ts", { ...job, port: ours.gamePort }, ours.programs);
          const b = await LoadDriver.start("packet-load.ts", { ...job, port: peer.port }, peer.programs);
          results.push(await measureRates({ group, unit: `${kind}s/s`, ...title }, a, b, options));
          await a.stop();
          await b.stop();
        }
        return results;
      }),
  };
}
