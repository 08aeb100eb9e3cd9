import type { TopLevelSpec } from "vega-lite";
import type { Results } from "./results.ts";
import { FONT, THEMES, type Theme, toSvg } from "./theme.ts";

/** The chart of the group "world": what share of all checks has a verdict within which time, for each way to a verdict. */
export function drawWorldChart(results: Results, theme: Theme): Promise<string> {
  return toSvg(chartOf(results, theme));
}

/** Whether the results hold what the chart shows. */
export function isWorldMeasured({ cases }: Results): boolean {
  return cases.some(({ percentiles }) => percentiles !== undefined);
}

const WIDTH = 620;
const HEIGHT = 300;

/** A point of a curve: so many percent of the checks take at most so long. */
interface Point {
  readonly way: string;
  readonly percent: number;
  readonly ms: number;
}

function chartOf({ machine, cases }: Results, theme: Theme): TopLevelSpec {
  const { text, muted, line, ahead, behind, other } = THEMES[theme];
  const measured = cases.flatMap(({ name, percentiles }) => (percentiles === undefined ? [] : [{ name, percentiles }]));
  const ways = [CENTRAL, ...measured.map(({ name }) => wayOf(name))];
  const points = [
    ...pointsOf(CENTRAL, measured[0]?.percentiles.peer ?? []),
    ...measured.flatMap(({ name, percentiles }) => pointsOf(wayOf(name), percentiles.ours)),
  ];
  const axis = {
    labelFont: FONT,
    labelColor: muted,
    titleFont: FONT,
    titleFontWeight: "normal",
    titleColor: muted,
  } as const;
  const grid = { gridColor: line, gridOpacity: 0.6, domain: false, ticks: false } as const;
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: "What share of the checks has a verdict within which time, for four ways to a verdict.",
    width: WIDTH,
    height: HEIGHT,
    padding: 16,
    background: "transparent",
    title: {
      text: "Time to a verdict, from 40 cities weighted by their population",
      subtitle: `Store and central server in Frankfurt. ${machine.cpu}, ${machine.cores} cores, ${machine.measuredAt.slice(0, 10)}.`,
      font: FONT,
      fontSize: 15,
      fontWeight: 600,
      color: text,
      subtitleFont: FONT,
      subtitleFontSize: 11,
      subtitleColor: muted,
      anchor: "start",
    },
    data: { values: points.map((point) => ({ ...point })) },
    config: { view: { stroke: null }, aria: false },
    mark: { type: "line", strokeWidth: 2.5, interpolate: "step-after" },
    encoding: {
      x: {
        field: "ms",
        type: "quantitative",
        scale: { type: "log", nice: false },
        axis: {
          ...axis,
          ...grid,
          title: "ms, logarithmic",
          values: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
        },
      },
      y: {
        field: "percent",
        type: "quantitative",
        scale: { domain: [0, 100] },
        axis: { ...axis, ...grid, title: "% of the checks", values: [0, 25, 50, 75, 90, 99] },
      },
      color: {
        field: "way",
        type: "nominal",
        scale: { domain: ways, range: [behind, muted, other, ahead] },
        legend: {
          orient: "bottom",
          columns: 2,
          title: null,
          labelFont: FONT,
          labelColor: text,
          labelFontSize: 12,
          labelLimit: WIDTH / 2,
          symbolStrokeWidth: 3,
        },
      },
    },
  };
}

/** What the others are compared with (groups/world.ts). */
const CENTRAL = "central Express";

/** "time to a verdict, bridge, p50" is about the way "bridge". */
function wayOf(name: string): string {
  return name.replace(/^time to a verdict, /, "").replace(/, p50$/, "");
}

function pointsOf(way: string, percentiles: readonly number[]): Point[] {
  return percentiles.map((ms, index) => ({ way, percent: index + 1, ms }));
}
