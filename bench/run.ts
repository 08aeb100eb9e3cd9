import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { EVERY_GROUP } from "./every-group.ts";
import type { BenchOptions, CaseResult } from "./harness/bench-case.ts";
import { installPeers } from "./install-peers.ts";
import { describeMachine } from "./report/machine.ts";
import { formatTable } from "./report/table.ts";

const LATEST = fileURLToPath(new URL("results/latest.json", import.meta.url));

interface Options {
  readonly only?: readonly string[];
  readonly seconds: number;
  readonly pairs: number;
  readonly soakSeconds: number;
  readonly json?: true;
}

/** The program of `npm run bench`: progress on stderr, the result on stdout and in bench/results/latest.json. */
async function main(): Promise<void> {
  const options = parseOptions();
  const groups = EVERY_GROUP.filter(({ name }) => options.only?.includes(name) ?? true);
  await installPeers();
  const cases: CaseResult[] = [];
  const machine = describeMachine();
  for (const group of groups) {
    const { seconds, pairs, soakSeconds } = options;
    const bench: BenchOptions = { seconds, pairs, soakSeconds, progress: say };
    cases.push(...(await group.run(bench)));
  }
  const document = `${JSON.stringify({ machine, cases }, null, 2)}\n`;
  await mkdir(fileURLToPath(new URL("results", import.meta.url)), { recursive: true });
  await writeFile(LATEST, document);
  process.stdout.write(options.json ? document : formatTable(machine, cases));
}

function parseOptions(): Options {
  const names = EVERY_GROUP.map(({ name }) => name);
  return new Command("npm run bench --")
    .description("Measures Artoria side by side with what people would use instead (docs/performance.md).")
    .option("--only <groups>", `only these, comma-separated: ${names.join(", ")}`, (text) => parseGroups(text, names))
    .option("--seconds <n>", "length of one leg", parsePositive, 3)
    .option("--pairs <n>", "legs of each side, 5 or more for a verdict", parsePositive, 5)
    .option("--soak-seconds <n>", "length of the soak, which a run of all groups ends with", parsePositive, 600)
    .option("--json", "one JSON document on stdout instead of a table")
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

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

// Exit handlers end what was started.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

main().then(
  () => process.exit(0),
  (error: unknown) => {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
