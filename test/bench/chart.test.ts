import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { drawChart, writeCharts } from "../../bench/report/chart.ts";
import { type CaseResult, type Results, readResults } from "../../bench/report/results.ts";
import { formatMarkdown, withResults } from "../../bench/report/table.ts";
import { drawWorldChart, isWorldMeasured } from "../../bench/report/world-chart.ts";

const PUBLISHED = "docs/performance";

const CASE: CaseResult = {
  group: "checks",
  name: "checks, 2 connections",
  against: "another server",
  unit: "checks/s",
  ours: 300_123,
  peer: 100_041,
  ratio: { min: 2, median: 3, max: 4 },
  target: ">= 2",
  met: true,
};

function resultsOf(...cases: readonly CaseResult[]): Results {
  return { machine: { cpu: "a CPU", cores: 2, node: "v24", measuredAt: "2026-11-21T12:00:00Z" }, cases: [...cases] };
}

/** What a reader sees, line by line. */
function textsOf(svg: string): readonly (string | undefined)[] {
  return [...svg.matchAll(/<text [^>]*>([^<]+)<\/text>/g)].map(([, text]) => text);
}

const WORLD: CaseResult = {
  ...CASE,
  group: "world",
  name: "time to a verdict, bridge, p50",
  unit: "ms",
  target: "<= 0.1",
  percentiles: {
    ours: Array.from({ length: 99 }, (_, index) => 0.1 + index / 100),
    peer: Array.from({ length: 99 }, (_, index) => 10 + index),
  },
};

describe("the chart of the world", () => {
  test("names each way to a verdict, with as many curves", async () => {
    const edge = { ...WORLD, name: "time to a verdict, edge, p50" };
    const svg = await drawWorldChart(resultsOf(CASE, edge, WORLD), "light");
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["central Express", "edge", "bridge"]));
    expect(svg.match(/stroke-width="2.5"/g)).toHaveLength(3);
  });

  test("is drawn only if the world was measured", () => {
    expect(isWorldMeasured(resultsOf(CASE))).toBe(false);
    expect(isWorldMeasured(resultsOf(CASE, WORLD))).toBe(true);
  });
});

describe("the table of docs/performance.md", () => {
  test("says of each case what was measured, and the verdict", () => {
    expect(formatMarkdown(resultsOf(CASE, { ...CASE, target: ">= 0" }, { ...CASE, met: false }))).toBe(
      [
        "| case | against | ours | peer | unit | ratio | target |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| checks, 2 connections | another server | 300,000 | 100,000 | checks/s | 3 (2 .. 4) | >= 2, met |",
        "| checks, 2 connections | another server | 300,000 | 100,000 | checks/s | 3 (2 .. 4) | - |",
        "| checks, 2 connections | another server | 300,000 | 100,000 | checks/s | 3 (2 .. 4) | >= 2, **missed** |",
        "",
      ].join("\n"),
    );
  });

  test("is what the saved results give", async () => {
    const page = await readFile("docs/performance.md", "utf8");
    expect(withResults(page, await readResults(`${PUBLISHED}/results.json`))).toBe(page);
  });
});

describe("the chart of the bench", () => {
  test("names each case, its peer, both figures, and how many times better Artoria is", async () => {
    const texts = textsOf(await drawChart(resultsOf(CASE), "light"));
    expect(texts).toEqual(
      expect.arrayContaining([
        ...["Sessions over TCP", "checks, 2 connections", "against another server"],
        ...["3.00 ×", "300,000 to 100,000 checks/s"],
      ]),
    );
    expect(texts.join()).toContain("a CPU, 2 cores, 2026-11-21");
  });

  test("turns the ratio round where lower figures are better", async () => {
    const memory: CaseResult = {
      ...CASE,
      group: "memory",
      target: "<= 1",
      ratio: { min: 0.2, median: 0.25, max: 0.5 },
    };
    expect(textsOf(await drawChart(resultsOf(memory), "light"))).toContain("4.00 ×");
  });

  test("leaves out what has no peer", async () => {
    const soak: CaseResult = { ...CASE, group: "soak", name: "memory after ten minutes" };
    expect(textsOf(await drawChart(resultsOf(CASE, soak), "light"))).not.toContain(soak.name);
  });

  test("has no background, and other colours of text for a dark page than for a light one", async () => {
    const [light, dark] = [await drawChart(resultsOf(CASE), "light"), await drawChart(resultsOf(CASE), "dark")];
    expect(light).toContain('fill="#1f2328"');
    expect(dark).toContain('fill="#f0f6fc"');
    expect(dark).not.toContain('fill="#1f2328"');
    expect(`${light}${dark}`).not.toMatch(/fill="(?:white|#fff(?:fff)?)"/);
  });

  test("is, in docs/performance, what the saved results beside it give", async () => {
    const directory = await mkdtemp(join(tmpdir(), "artoria-chart-"));
    try {
      const files = await writeCharts(directory, await readResults(`${PUBLISHED}/results.json`));
      expect(files.map((file) => basename(file))).toEqual(
        expect.arrayContaining(["ratios-light.svg", "ratios-dark.svg"]),
      );
      for (const file of files) {
        expect(await readFile(file, "utf8")).toBe(await readFile(`${PUBLISHED}/${basename(file)}`, "utf8"));
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
