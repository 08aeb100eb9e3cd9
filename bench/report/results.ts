import { readFile, writeFile } from "node:fs/promises";
import { arch, availableParallelism, cpus, release, totalmem } from "node:os";
import * as v from "valibot";

/** The machine that the figures were measured on. */
const Machine = v.object({
  cpu: v.string(),
  cores: v.number(),
  memoryGiB: v.exactOptional(v.number()),
  kernel: v.exactOptional(v.string()),
  node: v.string(),
  /** ISO 8601. */
  measuredAt: v.string(),
});
export type Machine = v.InferOutput<typeof Machine>;

/** The verdict on one case. */
const CaseResult = v.object({
  group: v.string(),
  name: v.string(),
  /** The peer, and how it is used. */
  against: v.string(),
  unit: v.string(),
  /** Medians, in `unit`. */
  ours: v.number(),
  peer: v.number(),
  /** Of the pairs' ratios, ours to the peer's. */
  ratio: v.object({ min: v.number(), median: v.number(), max: v.number() }),
  /** What the median ratio must be: `>= 4`, `<= 1`. */
  target: v.pipe(v.string(), v.regex(/^[<>]= /)),
  met: v.boolean(),
  /** Where a case is about latency, and the chart of the world shows it: the 1st to the 99th percentile, in `unit`. */
  percentiles: v.exactOptional(v.object({ ours: v.array(v.number()), peer: v.array(v.number()) })),
  /** Medians of what was measured beside it: CPU shares of the load and of each process. */
  seen: v.exactOptional(v.record(v.string(), v.number())),
});
export type CaseResult = v.InferOutput<typeof CaseResult>;

/** What one run of the bench found, as it is saved. */
const Results = v.object({ machine: Machine, cases: v.array(CaseResult) });
export type Results = v.InferOutput<typeof Results>;

/** Reads saved results; throws if the file holds anything else. */
export async function readResults(file: string | URL): Promise<Results> {
  return v.parse(Results, JSON.parse(await readFile(file, "utf8")));
}

/** Saves results as {@link readResults} reads them. */
export function writeResults(file: string | URL, results: Results): Promise<void> {
  return writeFile(file, formatJson(results));
}

export function formatJson(results: Results): string {
  return `${JSON.stringify(results, null, 2)}\n`;
}

/** The first three digits: the others are noise. */
export function formatFigure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** The machine that this runs on. */
export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${arch()}, ${release()}`,
    node: process.version,
    measuredAt: new Date().toISOString(),
  };
}
