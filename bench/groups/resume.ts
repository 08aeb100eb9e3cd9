import { type BenchGroup, type BenchOptions, type CaseTitle, judge } from "../harness/bench-case.ts";
import { type Leg, LoadDriver } from "../harness/load-driver.ts";
import { Cleanup } from "../harness/processes.ts";
import type { ResumeJob } from "../load/resume-load.ts";
import { startOurs } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startSocketIo } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { issueTokens } from "./sessions.ts";

/** One publisher, and 100 players who are cut: p99 needs that many, because a leg may have a single round. */
const PLAYERS = 1 + 100;

/** The time from a cut until the player has its seat again and has received what it missed. */
export const resume: BenchGroup = {
  name: "resume",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const ours = cleanup.add(await startOurs(worker));
      const peer = await startSocketIo();
      cleanup.add(peer.program);
      const tokens = await issueTokens(ours, PLAYERS);
      const a = cleanup.add(
        await LoadDriver.start(
          "resume-load.ts",
          { kind: "edge", port: ours.edgePort, room: "resume", tokens } satisfies ResumeJob,
          ours.programs,
        ),
      );
      const results: CaseResult[] = [];
      for (const { name, against, delay, most } of [
        {
          name: "resume after a cut",
          against: "Socket.IO, connection state recovery, its client's defaults",
          delay: {},
          most: 1,
        },
        {
          name: "resume after a cut, peer redials at once",
          against: "Socket.IO, its client told to redial after 1 ms",
          delay: { delayMs: 1 },
          most: 1.2,
        },
      ]) {
        const job: ResumeJob = { kind: "socket.io", port: peer.port, room: "resume", tokens, ...delay };
        const b = await LoadDriver.start("resume-load.ts", job, [peer.program]);
        results.push(...(await compare({ name, against, target: { op: "<=", value: most } }, a, b, options)));
        await b.stop();
      }
      return results;
    }),
};

async function compare(
  { name, ...title }: Pick<CaseTitle, "name" | "against" | "target">,
  ours: LoadDriver,
  peer: LoadDriver,
  { seconds, pairs, progress }: BenchOptions,
): Promise<CaseResult[]> {
  const legs: { ours: Leg; peer: Leg }[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    const leg = { ours: await ours.run(seconds), peer: await peer.run(seconds) };
    legs.push(leg);
    const [a, b] = [leg.ours, leg.peer].map(
      ({ latencyMs }) => `${latencyMs?.p50.toFixed(0)} (${latencyMs?.p99.toFixed(0)})`,
    );
    progress(`resume p50 (p99), pair ${pair}/${pairs}: ${a} to ${b} ms`);
  }
  return (["p50", "p99"] as const).map((quantile) => {
    const measured = legs.map((leg) => ({
      ours: leg.ours.latencyMs?.[quantile] ?? Number.NaN,
      peer: leg.peer.latencyMs?.[quantile] ?? Number.NaN,
    }));
    return judge({ ...title, group: "resume", name: `${name}, ${quantile}`, unit: "ms" }, measured);
  });
}
