import { type CaseResult, formatFigure, type Results } from "./results.ts";

const HEADINGS = ["case", "ratio", "min .. max", "target", "", "ours", "peer", "unit", "load's CPU"] as const;

/** The results for a terminal: ratios first, absolute figures beside them. */
export function formatTable({ machine, cases }: Results): string {
  const rows = [HEADINGS, ...cases.map(row)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? "").length)));
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const peers = [...new Set(cases.map(({ name, against }) => `${name}: against ${against}`))];
  const { cpu, cores, node } = machine;
  return `${[`${cpu}, ${cores} cores, Node ${node}`, "", ...lines, "", ...peers].join("\n")}\n`;
}

function row({ name, ratio, target, met, ours, peer, unit, seen }: CaseResult): readonly string[] {
  const loads = ["ours load cpu", "peer load cpu"].map((key) => seen?.[key]).filter((share) => share !== undefined);
  return [
    name,
    formatFigure(ratio.median),
    `${formatFigure(ratio.min)} .. ${formatFigure(ratio.max)}`,
    target,
    met ? "met" : "MISSED",
    formatFigure(ours),
    formatFigure(peer),
    unit,
    loads.map((share) => `${Math.round(share * 100)} %`).join(", "),
  ];
}
