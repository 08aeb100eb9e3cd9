import { type Metric, Registry } from "prom-client";
import { vi } from "vitest";
import { createMetrics } from "../../../redis-rest/metrics.ts";
import { selfSigned } from "../peers/certificates.ts";
import { TestBridge } from "../peers/test-bridge.ts";

/** A metric that a program registers. */
export interface ExposedMetric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram" | "summary";
  readonly labels: readonly string[];
}

/** What every Node program exposes besides: the state of its process (prom-client's default metrics). */
const OF_THE_PROCESS = /^(process|nodejs)_/;

/** The metrics that a bridge with all its ports and a redis-rest register, by name: those of the process, and all others. */
export async function exposedMetrics(): Promise<{
  readonly own: ReadonlyMap<string, ExposedMetric>;
  readonly process: ReadonlyMap<string, ExposedMetric>;
}> {
  const registered = vi.spyOn(Registry.prototype, "registerMetric");
  const { cert, key } = await selfSigned("localhost");
  const players = { PLAYER_TLS_CERT: cert, PLAYER_TLS_KEY: key, PLAYER_PORT: "0" };
  const stack = await TestBridge.open({ ...players, CHECK_PORT: "0" });
  await stack.close();
  createMetrics({
    isPrimaryReady: () => true,
    replicas: () => [],
    nowMs: () => 0,
    writeReplicas: 0,
    acknowledgedBy: () => 0,
  });
  const metrics = registered.mock.calls.map(([metric]) => describeMetric(metric));
  registered.mockRestore();
  const byName = (isOfProcess: boolean) =>
    new Map(metrics.filter(({ name }) => OF_THE_PROCESS.test(name) === isOfProcess).map((one) => [one.name, one]));
  return { own: byName(false), process: byName(true) };
}

/** prom-client's types do not tell what a metric is made of. */
function describeMetric(metric: Metric): ExposedMetric {
  const { name, labelNames } = metric as unknown as { readonly name: string; readonly labelNames: readonly string[] };
  return { name, labels: labelNames, type: metric.constructor.name.toLowerCase() as ExposedMetric["type"] };
}

/** The names of the series of a metric, with the labels that each has. */
export function seriesOf({ name, type, labels }: ExposedMetric): ReadonlyMap<string, readonly string[]> {
  if (type === "counter" || type === "gauge") return new Map([[name, labels]]);
  const own: readonly [string, readonly string[]][] =
    type === "histogram" ? [[`${name}_bucket`, [...labels, "le"]]] : [[name, [...labels, "quantile"]]];
  return new Map([...own, [`${name}_sum`, labels], [`${name}_count`, labels]]);
}
