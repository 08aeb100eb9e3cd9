import { type CaseResult, formatFigure, type Results } from "./results.ts";

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
  const rows = cases.map((result) => `| ${rowOf(result).join(" | ")} |`);
  const head = [`| ${HEADINGS.join(" | ")} |`, `|${" --- |".repeat(HEADINGS.length)}`];
  return [...head, ...rows, ""].join("\n");
}

const HEADINGS = ["case", "against", "ours", "peer", "unit", "ratio", "target"] as const;

function rowOf({ name, against, unit, ours, peer, ratio, target, met }: CaseResult): readonly string[] {
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
