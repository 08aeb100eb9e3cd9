import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** Colours of GitHub's two backgrounds (Primer); the marks keep 4.5:1 against their background, and differ to the colour-blind. */
export const THEMES = {
  light: { text: "#1f2328", muted: "#59636e", line: "#d1d9e0", ahead: "#0969da", behind: "#bc4c00", other: "#1a7f37" },
  dark: { text: "#f0f6fc", muted: "#9198a1", line: "#3d444d", ahead: "#4493f8", behind: "#f0883e", other: "#3fb950" },
} as const;
export type Theme = keyof typeof THEMES;

export const FONT = "-apple-system, BlinkMacSystemFont, Segoe UI, Helvetica, Arial, sans-serif";

/** The chart as an SVG document. */
export function toSvg(chart: TopLevelSpec): Promise<string> {
  return new View(parse(compile(chart).spec), { renderer: "none" }).toSVG();
}
