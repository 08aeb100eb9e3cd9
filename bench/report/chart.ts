import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TopLevelSpec } from "vega-lite";
import { type CaseResult, formatFigure, type Results } from "./results.ts";
import { FONT, THEMES, type Theme, toSvg } from "./theme.ts";
import { drawWorldChart, isWorldMeasured } from "./world-chart.ts";

/** The groups that the chart shows, under the headings of its parts. Cases without a peer are in the table only. */
const PARTS = [
  { heading: "Sessions over TCP", groups: ["checks", "cold-checks", "registers"] },
  { heading: "Checks over HTTP", groups: ["check-port", "http", "floor"] },
  { heading: "Rooms", groups: ["rooms", "bridge-rooms", "resume"] },
  { heading: "Memory", groups: ["redis-bytes", "memory", "player-memory"] },
] as const;

const ROW_HEIGHT = 34;
const PLOT_WIDTH = 300;
const PADDING = { left: 330, top: 60, right: 170, bottom: 40 };

/** Writes `ratios-light.svg` and `ratios-dark.svg` into the directory, `world-` likewise if it was measured, and gives their paths. */
export async function writeCharts(directory: string, results: Results): Promise<readonly string[]> {
  await mkdir(directory, { recursive: true });
  const charts = [
    ["ratios", drawChart] as const,
    ...(isWorldMeasured(results) ? [["world", drawWorldChart] as const] : []),
  ];
  const files: string[] = [];
  for (const [name, draw] of charts) {
    for (const theme of ["light", "dark"] as const) {
      const file = join(directory, `${name}-${theme}.svg`);
      await writeFile(file, `${await draw(results, theme)}\n`);
      files.push(file);
    }
  }
  return files;
}

/** How Artoria compares with each peer, as an SVG document with a transparent background. */
export function drawChart(results: Results, theme: Theme): Promise<string> {
  return toSvg(chartOf(results, theme));
}

/** A row of the chart: a heading, or a case. */
interface Row {
  readonly row: number;
  readonly heading?: string;
  readonly name?: string;
  readonly against?: string;
  /** How many times better than the peer: below 1, it is worse. */
  readonly median?: number;
  readonly low?: number;
  readonly high?: number;
  readonly verdict?: string;
  readonly figures?: string;
  readonly ahead?: boolean;
}

function rowsOf(cases: readonly CaseResult[]): readonly Row[] {
  const rows: Row[] = [];
  for (const { heading, groups } of PARTS) {
    const shown = cases.filter(({ group }) => groups.some((name) => name === group));
    if (shown.length > 0) rows.push({ row: rows.length, heading });
    for (const result of shown) rows.push({ row: rows.length, ...rowOf(result) });
  }
  return rows;
}

function rowOf({ name, against, ours, peer, unit, target, ratio }: CaseResult): Omit<Row, "row"> {
  const isLowerBetter = target.startsWith("<=");
  const [low, median, high] = isLowerBetter
    ? [1 / ratio.max, 1 / ratio.median, 1 / ratio.min]
    : [ratio.min, ratio.median, ratio.max];
  return {
    name,
    against: `against ${against}`,
    low,
    median,
    high,
    verdict: `${median.toPrecision(median < 1 ? 2 : 3)} ×`,
    figures: `${formatFigure(ours)} to ${formatFigure(peer)} ${unit}`,
    ahead: median >= 1,
  };
}

function chartOf({ machine, cases }: Results, theme: Theme): TopLevelSpec {
  const { text, muted, line, ahead, behind } = THEMES[theme];
  const rows = rowsOf(cases);
  const height = rows.length * ROW_HEIGHT;
  const y = { field: "row", type: "ordinal", axis: null, scale: { paddingInner: 0, paddingOuter: 0 } } as const;
  const scale = { type: "log", domain: domainOf(rows), nice: false } as const;
  const color = { condition: { test: "datum.ahead", value: ahead }, value: behind } as const;
  const label = { type: "text", baseline: "middle", font: FONT } as const;
  const left = { value: 12 - PADDING.left };
  const isCase = [{ filter: "!datum.heading" }];
  const title = `${machine.cpu}, ${machine.cores} cores, ${machine.measuredAt.slice(0, 10)}. Median and range of pairs of runs, logarithmic.`;
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: "How many times better Artoria does than each peer, on a logarithmic scale.",
    width: PLOT_WIDTH,
    height,
    padding: PADDING,
    autosize: { type: "none" },
    background: "transparent",
    data: { values: rows.map((row) => ({ ...row })) },
    config: { view: { stroke: null }, aria: false },
    layer: [
      {
        data: { values: [{}] },
        mark: {
          ...label,
          align: "left",
          fontSize: 15,
          fontWeight: 600,
          color: text,
          text: "Artoria compared with each peer: to the right of the line it does better",
        },
        encoding: { x: left, y: { value: 20 - PADDING.top } },
      },
      {
        data: { values: [{}] },
        mark: { ...label, align: "left", fontSize: 11, color: muted, text: title },
        encoding: { x: left, y: { value: 40 - PADDING.top } },
      },
      {
        data: { values: [{}] },
        mark: { type: "rule", color: muted, strokeDash: [3, 3] },
        encoding: { x: { datum: 1, type: "quantitative", scale } },
      },
      {
        transform: isCase,
        mark: { type: "rule", strokeWidth: 3, opacity: 0.45, strokeCap: "round" },
        encoding: {
          y,
          x: {
            field: "low",
            type: "quantitative",
            scale,
            axis: {
              title: "← behind the peer | ahead of the peer →",
              titleFont: FONT,
              titleFontWeight: "normal",
              titleColor: muted,
              labelFont: FONT,
              labelColor: muted,
              labelExpr: "datum.value < 1 ? '1/' + 1 / datum.value : datum.value + ' ×'",
              values: [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32],
              grid: true,
              gridColor: line,
              gridOpacity: 0.6,
              domain: false,
              ticks: false,
            },
          },
          x2: { field: "high" },
          color,
        },
      },
      {
        transform: isCase,
        mark: { type: "point", filled: true, size: 80, opacity: 1 },
        encoding: { y, x: { field: "median", type: "quantitative", scale }, color },
      },
      {
        transform: [{ filter: "datum.heading" }],
        mark: { ...label, align: "left", fontSize: 13, fontWeight: 600, color: text, dy: 4 },
        encoding: { y, x: left, text: { field: "heading" } },
      },
      {
        transform: isCase,
        mark: { ...label, align: "left", fontSize: 12, color: text, dy: -6 },
        encoding: { y, x: left, text: { field: "name" } },
      },
      {
        transform: isCase,
        mark: { ...label, align: "left", fontSize: 10, color: muted, dy: 8 },
        encoding: { y, x: left, text: { field: "against" } },
      },
      {
        transform: isCase,
        mark: { ...label, align: "left", fontSize: 12, fontWeight: 600, dy: -6 },
        encoding: { y, x: { value: PLOT_WIDTH + 14 }, text: { field: "verdict" }, color },
      },
      {
        transform: isCase,
        mark: { ...label, align: "left", fontSize: 10, color: muted, dy: 8 },
        encoding: { y, x: { value: PLOT_WIDTH + 14 }, text: { field: "figures" } },
      },
    ],
  };
}

/** From the lowest to the highest ratio, 1 among them, with a little room on either side. */
function domainOf(rows: readonly Row[]): [number, number] {
  const ratios = rows.flatMap(({ low, high }) => (low === undefined || high === undefined ? [] : [low, high]));
  return [Math.min(1, ...ratios) * 0.85, Math.max(1, ...ratios) * 1.15];
}
