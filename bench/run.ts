import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { Command, InvalidArgumentError } from "commander";
import { coldStart } from "./groups/cold-start.ts";
import { count } from "./groups/count.ts";
import { checkPort, floor, httpChecks } from "./groups/http-checks.ts";
import { idleMemory, idlePlayers } from "./groups/idle-memory.ts";
import { idleFleets, revocations } from "./groups/leases.ts";
import { ownEdge } from "./groups/own-edge.ts";
import { checks, coldChecks, registers } from "./groups/packets.ts";
import { redisSize } from "./groups/redis-size.ts";
import { resume } from "./groups/resume.ts";
import { bridgeRooms, rooms } from "./groups/rooms.ts";
import { soak } from "./groups/soak.ts";
import { world } from "./groups/world.ts";
import type { BenchGroup, BenchOptions } from "./harness/bench-case.ts";
import { installPeers } from "./install-peers.ts";
import { writeCharts } from "./report/chart.ts";
import {
  type CaseResult,
  describeMachine,
  formatJson,
  type Results,
  readResults,
  writeResults,
} from "./report/results.ts";
import { formatTable, withResults } from "./report/table.ts";

/** The last results, of whatever was measured. */
const LATEST = fileURLToPath(new URL("results/", import.meta.url));
/** The last results of all groups, with the charts that docs/performance.md shows. */
const PUBLISHED = fileURLToPath(new URL("../docs/performance/", import.meta.url));

/** The page with the table of those results. */
const PAGE = fileURLToPath(new URL("../docs/performance.md", import.meta.url));

/** All groups, in the order in which they are measured. */
const EVERY_GROUP: readonly BenchGroup[] = [
  checks,
  coldChecks,
  revocations,
  idleFleets,
  checkPort,
  httpChecks,
  floor,
  ownEdge,
  world,
  registers,
  count,
  rooms,
  bridgeRooms,
  resume,
  redisSize,
  coldStart,
  idleMemory,
  idlePlayers,
  soak,
];

interface Options {
  readonly only?: readonly string[];
  readonly seconds: number;
  readonly pairs: number;
  readonly soakSeconds: number;
  readonly publish?: true;
  readonly json?: true;
  readonly chart?: string;
  readonly chartDirectory: string;
}

/** The program of `npm run bench`: progress on stderr, the results on stdout and in bench/results/latest.json. */
async function main(): Promise<void> {
  const options = parseOptions();
  if (options.chart !== undefined) {
    await drawCharts(options.chart, options.chartDirectory);
    return;
  }
  const groups = EVERY_GROUP.filter(({ name }) => options.only?.includes(name) ?? true);
  await installPeers();
  await mkdir(LATEST, { recursive: true });
  for (const { prepare } of groups) prepare?.();
  const cases: CaseResult[] = [];
  const machine = describeMachine();
  for (const group of groups) {
    const { seconds, pairs, soakSeconds } = options;
    const bench: BenchOptions = { seconds, pairs, soakSeconds, progress: log };
    cases.push(...(await group.run(bench)));
    // After each group: a later one may fail.
    await writeResults(`${LATEST}latest.json`, { machine, cases });
  }
  const results = { machine, cases };
  if (options.only === undefined || options.publish) await publish(results);
  process.stdout.write(options.json ? formatJson(results) : formatTable(results));
}

/** Replaces the published results of the groups that were measured, and draws what is made from them. */
async function publish({ machine, cases }: Results): Promise<void> {
  const file = `${PUBLISHED}results.json`;
  const measured = new Set(cases.map(({ group }) => group));
  const kept = (await readResults(file)).cases.filter(({ group }) => !measured.has(group));
  const order = EVERY_GROUP.map(({ name }) => name);
  const all = [...kept, ...cases].toSorted((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
  await writeResults(file, { machine, cases: all });
  await drawCharts(file, PUBLISHED);
}

async function drawCharts(resultsFile: string, directory: string): Promise<void> {
  const results = await readResults(resultsFile);
  for (const file of await writeCharts(directory, results)) log(`wrote ${file}`);
  if (directory !== PUBLISHED) return;
  await writeFile(PAGE, withResults(await readFile(PAGE, "utf8"), results));
  log(`wrote ${PAGE}`);
}

function parseOptions(): Options {
  const names = EVERY_GROUP.map(({ name }) => name);
  return new Command("npm run bench --")
    .description("Measures Artoria side by side with what people would use instead (docs/performance.md).")
    .option("--only <groups>", `only these, comma-separated: ${names.join(", ")}`, (text) => parseGroups(text, names))
    .option("--seconds <n>", "length of one leg", parsePositive, 3)
    .option("--pairs <n>", "legs of each side, 5 or more for a verdict", parsePositive, 5)
    .option("--soak-seconds <n>", "length of the soak, which a run of all groups ends with", parsePositive, 600)
    .option("--publish", "with --only: these groups replace theirs in docs/performance, as a run of all groups does")
    .option("--json", "one JSON document on stdout instead of a table")
    .option(
      "--chart <results.json>",
      "measure nothing: draw the charts of these results, and the table of docs/performance.md",
    )
    .option("--chart-directory <directory>", "where --chart writes them", PUBLISHED)
    .parse()
    .opts<Options>();
}

function parseGroups(text: string, names: readonly string[]): readonly string[] {
  const asked = text.split(",");
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new InvalidArgumentError(`there is no group ${unknown}`);
  return asked;
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("allowed is a number above 0");
  return value;
}

function log(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

// Exit handlers end what was started, one for each program.
process.setMaxListeners(0);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

main().then(
  () => process.exit(0),
  (error: unknown) => {
    // With its causes: what a failed fetch says is in them.
    log(inspect(error));
    process.exit(1);
  },
);
