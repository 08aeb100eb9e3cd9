import { type CaseResult, formatFigure, type Results } from "./results.ts";

const TERMINAL_HEADINGS = ["case", "ratio", "min .. max", "target", "", "ours", "peer", "unit", "load's CPU"] as const;

/** The results for a terminal: ratios first, absolute figures beside them. */
export function formatTable({ machine, cases }: Results): string {
  const rows = [TERMINAL_HEADINGS, ...cases.map(terminalRow)];
  const widths = TERMINAL_HEADINGS.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? "").length)));
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

function terminalRow({ name, ratio, target, met, ours, peer, unit, seen }: CaseResult): readonly string[] {
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

const BEGIN =
  "<!-- The table is made from results.json by `npm run bench -- --chart docs/performance/results.json`. -->";
const END = "<!-- The end of the table. -->";

/** A page with its table of results replaced. Throws if the page has no place for it. */
export function withResults(page: string, results: Results): string {
  const [before, after] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (before < 0 || after < before) throw new Error("the page has no table of results");
  return `${page.slice(0, before + BEGIN.length)}\n\n${formatMarkdown(results)}\n${page.slice(after)}`;
}

/** The cases as a table in Markdown. */
export function formatMarkdown({ cases }: Results): string {
  const rows = cases.map((result) => `| ${pageRow(result).join(" | ")} |`);
  const head = [`| ${PAGE_HEADINGS.join(" | ")} |`, `|${" --- |".repeat(PAGE_HEADINGS.length)}`];
  return [...head, ...rows, ""].join("\n");
}

const PAGE_HEADINGS = ["case", "against", "ours", "peer", "unit", "ratio", "target"] as const;

function pageRow({ name, against, unit, ours, peer, ratio, target, met }: CaseResult): readonly string[] {
  const [median, min, max] = [ratio.median, ratio.min, ratio.max].map(formatFigure);
  return [
    name,
    against,
    formatFigure(ours),
    formatFigure(peer),
    unit,
    min === max ? `${median}` : `${median} (${min} .. ${max})`,
    // Such a case is stated and not judged (groups/rooms.ts).
    target === ">= 0" ? "-" : `${target}, ${met ? "met" : "**missed**"}`,
  ];
}
