import { setTimeout as wait } from "node:timers/promises";
import { type BenchGroup, type BenchOptions, judge } from "../harness/bench-case.ts";
import { type Leg, LoadDriver } from "../harness/load-driver.ts";
import type { Program } from "../harness/processes.ts";
import { Cleanup, privateBytes } from "../harness/processes.ts";
import { type Ours, startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import type { CaseResult } from "../report/results.ts";
import { issueTokens, SESSIONS, seedSessions } from "./sessions.ts";

/** Whose memory must stay flat. */
const WATCHED = ["bridge", "redis-rest", "workerd"];

/** Every 5 s of ten minutes. */
const SAMPLES = 120;
const FIFTH = SAMPLES / 5;
const TENTH = SAMPLES / 10;

const MEBIBYTE = 1024 * 1024;
const HTTP_CLIENTS = 100;

/** Memory of our processes under one load: checks, registers, deletes, checks over HTTP; the sessions stay as many. */
export const soak: BenchGroup = {
  name: "soak",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const ours = cleanup.add(await startOurs(worker));
      await seedSessions(ours.gamePort);
      const { checks, others } = await startLoads(cleanup, ours);
      const { soakSeconds, progress } = options;
      progress(`soak: one load for ${soakSeconds} s`);
      const watched = ours.programs.filter(({ name }) => WATCHED.includes(name));
      const [leg, memory] = await Promise.all([
        checks.run(soakSeconds),
        watch(watched, options),
        ...others.map((load) => load.run(soakSeconds)),
      ]);
      return watched.map(({ name }) => judgeMemory(name, memory.get(name) ?? [], leg, soakSeconds));
    }),
};

async function startLoads(cleanup: Cleanup, ours: Ours) {
  const port = ours.gamePort;
  const check = { kind: "check", port, connections: 32, pipelined: 64, sessions: SESSIONS };
  const churn = { kind: "churn", port, connections: 4, pipelined: 16, sessions: 10_000, firstSessid: SESSIONS + 1 };
  const headers = (await issueTokens(ours, HTTP_CLIENTS)).map((token) => `Authorization: Bearer ${token}`);
  const http = { port: ours.edgePort, path: "/v1/check", connections: 4, headers };
  return {
    checks: cleanup.add(await LoadDriver.start("packet-load.ts", check, ours.programs)),
    others: [
      cleanup.add(await LoadDriver.start("packet-load.ts", churn, [])),
      cleanup.add(await LoadDriver.start("http-load.ts", http, [])),
    ],
  };
}

/** Samples each program's memory, in MiB, at equal intervals. */
async function watch(programs: readonly Program[], { soakSeconds, progress }: BenchOptions) {
  const startMs = performance.now();
  const memory = new Map(programs.map(({ name }) => [name, [] as number[]]));
  for (let sample = 1; sample <= SAMPLES; sample++) {
    await wait(startMs + (sample / SAMPLES) * soakSeconds * 1_000 - performance.now());
    for (const { name, pid } of programs) memory.get(name)?.push(privateBytes(pid) / MEBIBYTE);
    if (sample % TENTH !== 0) continue;
    const now = Array.from(memory, ([name, samples]) => `${name} ${Math.round(samples.at(-1) ?? 0)} MiB`);
    progress(`soak, ${Math.round((sample / SAMPLES) * soakSeconds)} of ${soakSeconds} s: ${now.join(", ")}`);
  }
  return memory;
}

/** The last fifth of the time against the second: of ten minutes, the last two against minutes two to four. */
function judgeMemory(name: string, samples: readonly number[], checks: Leg, soakSeconds: number): CaseResult {
  const title = {
    group: "soak",
    name: `memory of ${name}, last fifth of ${soakSeconds} s`,
    against: "itself in the second fifth",
    unit: "MiB",
    target: { op: "<=", value: 1.1 },
  } as const;
  const last = samples.slice(-FIFTH);
  const pairs = samples.slice(FIFTH, 2 * FIFTH).map((peer, index) => ({ ours: last[index] ?? 0, peer }));
  const seen: Record<string, number> = {
    "ours load cpu": checks.cpuShare,
    [`ours ${name} cpu`]: checks.cpuShares[name] ?? 0,
    "ours checks/s": checks.done / checks.seconds,
  };
  for (let tenth = 1; tenth <= 10; tenth++) {
    seen[`ours MiB at ${tenth * 10} %`] = samples[tenth * TENTH - 1] ?? 0;
  }
  return judge(title, pairs, seen);
}
