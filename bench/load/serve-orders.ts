import type { LoadOrder, LoadReport } from "../harness/load-driver.ts";

/** Runs one leg until `untilMs` (performance.now()), or everything once if that is Infinity; resolves with how much was done. */
export type RunLeg = (untilMs: number) => Promise<Pick<LoadReport, "done" | "latencyMs" | "percentilesMs">>;

/** The driver's job, which is this process's only argument. */
export function loadJob<Job>(): Job {
  // harness/load-driver.ts of the same version wrote it.
  return JSON.parse(process.argv[2] ?? "{}") as Job;
}

/** Reports to the driver that this load is ready, then runs a leg for each order. */
export function serveOrders(runLeg: RunLeg): void {
  process.on("message", (order: LoadOrder) => {
    run(order, runLeg).then(
      (report) => process.send?.(report),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
        process.exit(1);
      },
    );
  });
  process.on("disconnect", () => process.exit());
  process.send?.("ready");
}

async function run(order: LoadOrder, runLeg: RunLeg): Promise<LoadReport> {
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  const outcome = await runLeg("seconds" in order ? startMs + order.seconds * 1_000 : Number.POSITIVE_INFINITY);
  const tookSeconds = (performance.now() - startMs) / 1_000;
  const used = process.cpuUsage(cpu);
  return { ...outcome, seconds: tookSeconds, cpuShare: (used.user + used.system) / 1e6 / tookSeconds };
}
