import uPlot from "uplot";
import { clockTime, element } from "./elements.ts";
import { CHART_SECONDS, type Columns } from "./rates.ts";

const HEIGHT = 150;

/** The stylesheet's colours of the two lines and of what is around them. A canvas knows no custom properties. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return { first: colour("--first"), second: colour("--second"), text: colour("--soft"), line: colour("--line") };
}

/**
 * A chart of two values over the last minutes, drawn by uPlot. Screen readers get {@link describe}'s text instead; the second line is
 * dashed, so that colours are not all that tells the lines apart.
 */
export class LineChart {
  readonly element: HTMLElement;
  readonly #labels: readonly [string, string];
  readonly #canvas: HTMLElement;
  #plot: uPlot | undefined;
  #data: Columns = [[], [], []];
  #nowSecond = 0;

  constructor(title: string, labels: readonly [string, string]) {
    this.#labels = labels;
    this.#canvas = element("div", { class: "plot", role: "img", "aria-label": title });
    const legend = labels.map((label, index) => element("span", { class: `line-${index + 1}` }, label));
    this.element = element(
      "figure",
      { class: "chart" },
      element(
        "figcaption",
        {},
        element("span", { class: "chart-title" }, title),
        element("span", { class: "legend" }, ...legend),
      ),
      this.#canvas,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** Draws the values up to now. */
  show(data: Columns, nowMs: number): void {
    this.#data = data;
    this.#nowSecond = Math.floor(nowMs / 1000);
    if (this.#plot === undefined) this.#redraw();
    else this.#plot.setData(data);
  }

  /** What a screen reader says of the chart. */
  describe(text: string): void {
    this.#canvas.setAttribute("aria-label", text);
  }

  #resize(): void {
    const width = this.#canvas.clientWidth;
    if (width === 0) return;
    if (this.#plot === undefined) this.#redraw();
    else if (this.#plot.width !== width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #redraw(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    const width = this.#canvas.clientWidth;
    if (width === 0) return;
    const { first, second, text, line } = colours();
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    this.#plot = new uPlot(
      {
        width,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: () => [this.#nowSecond - CHART_SECONDS, this.#nowSecond] },
          y: { range: (_, __, most) => [0, Math.max(4, Math.ceil((most ?? 0) * 1.1))] },
        },
        axes: [
          {
            ...axis,
            space: 45,
            incrs: [60, 300],
            size: 32,
            values: (_, splits) => splits.map((at) => clockTime(at * 1000).slice(0, 5)),
          },
          {
            ...axis,
            size: 60,
            values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? value.toLocaleString() : "")),
          },
        ],
        series: [
          {},
          { label: this.#labels[0], stroke: first, width: 2, points: { show: false } },
          { label: this.#labels[1], stroke: second, width: 2, dash: [6, 4], points: { show: false } },
        ],
      },
      this.#data,
      this.#canvas,
    );
  }
}
