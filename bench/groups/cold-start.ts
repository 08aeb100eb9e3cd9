import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type BenchGroup, judge, measureFigures } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/processes.ts";
import { type BuiltWorker, buildOurWorker, buildPeerWorker, startWorker } from "../ours/start-worker.ts";

const MAX_BUNDLE_BYTES = 100 * 1024;

/** How soon a new isolate responds, and how large its code is. */
export const coldStart: BenchGroup = {
  name: "cold-start",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const ours = cleanup.addRemoval(await buildOurWorker());
      const empty = cleanup.addRemoval(await buildPeerWorker("empty-worker.ts"));
      const start = {
        group: "cold-start",
        name: "workerd's start to the first response",
        against: "an empty Hono worker",
        unit: "ms",
        target: { op: "<=", value: 2 },
      } as const;
      const size = {
        group: "cold-start",
        name: "bundle, gzipped",
        against: "100 KiB",
        unit: "bytes",
        target: { op: "<=", value: 1 },
      } as const;
      const gzipped = gzipSync(await readFile(join(ours.directory, "index.js"))).byteLength;
      return [
        await measureFigures(
          start,
          () => firstResponseMs(ours, "/healthz"),
          () => firstResponseMs(empty, "/"),
          options,
        ),
        judge(size, [{ ours: gzipped, peer: MAX_BUNDLE_BYTES }]),
      ];
    }),
};

async function firstResponseMs(built: BuiltWorker, path: string): Promise<number> {
  const startMs = performance.now();
  const { port, program } = await startWorker(built);
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  await response.arrayBuffer();
  const tookMs = performance.now() - startMs;
  await program.stop();
  if (response.status !== 200) throw new Error(`the first response was ${response.status}`);
  return tookMs;
}
