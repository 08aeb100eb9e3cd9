import type { CaseResult } from "../harness/bench-case.ts";
import type { Machine } from "./machine.ts";

const HEADINGS = ["case", "ratio", "min .. max", "target", "", "ours", "peer", "unit", "load's CPU"] as const;

/** The results for a terminal: ratios first, absolute figures beside them. */
export function formatTable(machine: Machine, cases: readonly CaseResult[]): string {
  const rows = [HEADINGS, ...cases.map(row)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? "").length)));
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const peers = [...new Set(cases.map(({ name, against }) => `${name}: against ${against}`))];
  const { cpu, cores, memoryGiB, node } = machine;
  return `${[`${cpu}, ${cores} cores, ${memoryGiB} GiB, Node ${node}`, "", ...lines, "", ...peers].join("\n")}\n`;
}

function row({ name, ratio, target, met, ours, peer, unit, seen }: CaseResult): readonly string[] {
  const loads = ["ours load cpu", "peer load cpu"].map((key) => seen?.[key]).filter((share) => share !== undefined);
  return [
    name,
    figure(ratio.median),
    `${figure(ratio.min)} .. ${figure(ratio.max)}`,
    target,
    met ? "met" : "MISSED",
    figure(ours),
    figure(peer),
    unit,
    loads.map((share) => `${Math.round(share * 100)} %`).join(", "),
  ];
}

/** Three digits that say something, and whole numbers from 100 on. */
function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
}
