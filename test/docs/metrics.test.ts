import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type ExposedMetric, exposedMetrics, seriesOf } from "../support/metrics/exposed-metrics.ts";
import { selectorsOf } from "../support/metrics/promql.ts";

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}

function fileOf(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

const page = fileOf("docs/metrics.md");
const groups: readonly { readonly rules: readonly Rule[] }[] = parse(
  fileOf("deploy/prometheus/artoria.rules.yml"),
).groups;
const rules = groups.flatMap((group) => group.rules);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const ruleTests = fileOf("deploy/prometheus/artoria.rules.test.yml");
const scrapes: readonly { readonly job_name: string }[] = parse(
  fileOf("deploy/prometheus/prometheus.yml"),
).scrape_configs;
const dashboard = JSON.parse(fileOf("deploy/grafana/artoria.json"));
const panels: readonly Panel[] = dashboard.panels;

/** What Prometheus adds to every series of a target. */
const OF_THE_TARGET = ["job", "instance"];

let own: ReadonlyMap<string, ExposedMetric>;
/** The labels of every series that Prometheus has, by its name. */
let series: ReadonlyMap<string, readonly string[]>;

beforeAll(async () => {
  const exposed = await exposedMetrics();
  own = exposed.own;
  const recorded = rules.flatMap(({ record, labels = {} }) =>
    record === undefined ? [] : [[record, labels] as const],
  );
  series = new Map([
    ...[...exposed.own.values(), ...exposed.process.values()].flatMap((metric) => [...seriesOf(metric)]),
    ...recorded.map(([name, labels]) => [name, Object.keys(labels)] as const),
    ["up", []],
  ]);
});

/** What is wrong with the metrics and labels that a query names. */
function faultsOf(query: string): string[] {
  return selectorsOf(query).flatMap(({ metric, labels }) => {
    const known = series.get(metric);
    if (known === undefined) return [`no metric ${metric}: ${query}`];
    const unknown = labels.filter((label) => !known.includes(label) && !OF_THE_TARGET.includes(label));
    return unknown.map((label) => `no label ${label} of ${metric}: ${query}`);
  });
}

describe("docs/metrics.md", () => {
  test("documents every metric that a bridge and redis-rest expose, with its type and labels, and no other", () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (\w+) \|([\w, ]*)\| \S/gm)].map(([, name, type, labels = ""]) => ({
      name,
      type,
      labels: labels.split(",").flatMap((label) => label.trim() || []),
    }));
    const byName = (one: { name?: string | undefined }, other: { name?: string | undefined }) =>
      (one.name ?? "").localeCompare(other.name ?? "");
    expect(rows.toSorted(byName)).toEqual([...own.values()].toSorted(byName));
  });

  test("names only metrics that exist in its queries", () => {
    const queries = [...page.matchAll(/`(rate\([^`]+)`/g)].map(([, query = ""]) => query);
    expect(queries.length).toBeGreaterThan(0);
    expect(queries.flatMap(faultsOf)).toEqual([]);
  });
});

describe("the rules of deploy/prometheus", () => {
  test("name only metrics and labels that exist", () => {
    expect(rules.flatMap(({ expr }) => faultsOf(expr))).toEqual([]);
    expect(faultsOf('rate(artoria_bridge_gone_total[1m]) > up{port="x"}')).toHaveLength(2);
  });

  test("name only jobs that prometheus.yml scrapes", () => {
    const jobs = new Set(scrapes.map(({ job_name }) => job_name));
    const named = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/job=~?"([^"]+)"/g)].flatMap(([, job = ""]) => job.split("|")),
    );
    expect(named.filter((job) => !jobs.has(job))).toEqual([]);
  });

  test.each(alerts)("say how urgent $alert is, what happens, and what to do", ({ labels, annotations = {} }) => {
    expect(["critical", "warning"]).toContain(labels?.["severity"]);
    expect(Object.keys(annotations)).toEqual(["summary", "description"]);
    for (const text of Object.values(annotations)) expect(text.length).toBeGreaterThan(20);
  });

  test.each(alerts)("are tested: $alert is shown firing", ({ alert }) => {
    expect(ruleTests).toContain(`- labels: ALERTS{alertname="${alert}", alertstate="firing"`);
  });
});

describe("deploy/kubernetes", () => {
  const adapter: { rules: readonly { seriesQuery: string; metricsQuery: string }[] } = parse(
    fileOf("deploy/kubernetes/monitoring/prometheus-adapter.yaml"),
  );
  const scaled = [...fileOf("deploy/kubernetes/base/bridge/availability.yaml").matchAll(/metric: \{ name: (\w+) \}/g)];

  test("scales by metrics that exist, and that prometheus-adapter is told to give", () => {
    expect(scaled.length).toBeGreaterThan(0);
    for (const [, metric = ""] of scaled) {
      expect([metric, series.has(metric)]).toEqual([metric, true]);
      const rules = adapter.rules.filter(({ seriesQuery }) => {
        const [, pattern = ""] = /__name__=~"([^"]+)"/.exec(seriesQuery) ?? [];
        return new RegExp(`^(?:${pattern})$`).test(metric);
      });
      expect([metric, rules.length]).toEqual([metric, 1]);
      // What the adapter makes of the template.
      const query = rules[0]?.metricsQuery
        .replace("<<.Series>>", metric)
        .replace("<<.LabelMatchers>>", 'namespace="artoria",pod=~"artoria-bridge-1|artoria-bridge-2"')
        .replace("<<.GroupBy>>", "pod");
      expect(selectorsOf(query ?? "")).toEqual([{ metric, labels: ["namespace", "pod"] }]);
    }
  });

  test("scrapes the jobs that the rules know, with the labels that prometheus-adapter needs", () => {
    const found: {
      scrape_configs: readonly { job_name: string; relabel_configs: readonly { target_label?: string }[] }[];
    } = parse(fileOf("deploy/kubernetes/monitoring/prometheus.yml"));
    expect(found.scrape_configs.map(({ job_name }) => job_name)).toEqual(scrapes.map(({ job_name }) => job_name));
    for (const { relabel_configs } of found.scrape_configs) {
      expect(relabel_configs.flatMap(({ target_label }) => target_label ?? [])).toEqual(["namespace", "pod"]);
    }
  });
});

describe("deploy/grafana/artoria.json", () => {
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const));

  test("names only metrics and labels that exist", () => {
    expect(queries.length).toBeGreaterThan(20);
    // Grafana replaces its variables before it asks Prometheus.
    const sent = queries.map(([, expr]) => expr.replaceAll("$__rate_interval", "1m"));
    expect(sent.flatMap(faultsOf)).toEqual([]);
  });

  test("shows each metric that operators look at: what a bridge and redis-rest count or measure themselves", () => {
    const shown = new Set(
      queries.flatMap(([, expr]) => selectorsOf(expr.replaceAll("$__rate_interval", "1m")).map(({ metric }) => metric)),
    );
    const hidden = [...own.values()].filter((metric) => ![...seriesOf(metric).keys()].some((name) => shown.has(name)));
    expect(hidden.map(({ name }) => name)).toEqual([]);
  });

  test("can be imported: it asks for a data source, and its panels have ids, queries and places of their own", () => {
    const [variable] = dashboard.templating.list;
    expect(variable).toMatchObject({ type: "datasource", query: "prometheus", name: "datasource" });
    expect(dashboard.id).toBeNull();
    expect(dashboard.uid).toMatch(/^[a-z-]{1,40}$/);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, type, description, targets = [], datasource, gridPos } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      if (type === "row") continue;
      expect([title, datasource?.uid]).toEqual([title, `\${datasource}`]);
      expect([title, description]).toEqual([title, expect.stringMatching(/\.$/)]);
      expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    }
    expect(overlaps(panels)).toEqual([]);
  });
});

/** The titles of panels that lie upon each other. */
function overlaps(all: readonly Panel[]): string[] {
  return all.flatMap((one, index) =>
    all.slice(index + 1).flatMap((other) => {
      const [a, b] = [one.gridPos, other.gridPos];
      const isApart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
      return isApart ? [] : [`${one.title}, ${other.title}`];
    }),
  );
}
