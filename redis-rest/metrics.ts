import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { BatchOutcome } from "./redis/redis-connection.ts";
import type { ReplicaReadResult } from "./redis/replica-reads.ts";
import type { Replica } from "./redis/replica-set.ts";

/** The state that is read at each scrape. */
export interface MetricsSources {
  readonly isPrimaryReady: () => boolean;
  readonly replicas: () => readonly Replica[];
  /** WRITE_REPLICAS, and how many replicas acknowledged the last group of writes. */
  readonly writeReplicas: number;
  readonly acknowledgedBy: () => number;
  readonly nowMs: () => number;
}

export interface Metrics {
  readonly registry: Registry;
  /** A batch of commands had this outcome after so many seconds. */
  countBatch(outcome: BatchOutcome, seconds: number): void;
  countReplicaRead(result: ReplicaReadResult): void;
}

/** From the latency of Redis on a near network to the default deadline. */
const SECONDS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** The metrics of one redis-rest, in a registry of its own. No label holds a command, a key or a token. */
export function createMetrics({
  isPrimaryReady,
  replicas,
  nowMs,
  writeReplicas,
  acknowledgedBy,
}: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const batches = new Counter({
    name: "redis_rest_batches_total",
    help: "Batches of commands by their outcome",
    labelNames: ["outcome"],
    registers,
  });
  const seconds = new Histogram({
    name: "redis_rest_batch_seconds",
    help: "Time from asking Redis to its last reply",
    buckets: SECONDS_BUCKETS,
    registers,
  });
  const reads = new Counter({
    name: "redis_rest_replica_reads_total",
    help: "Batches of reads by where the replies came from: a replica, in part again the primary, or the primary",
    labelNames: ["result"],
    registers,
  });
  new Gauge({
    name: "redis_rest_primary_up",
    help: "1 while the connection to the primary is ready, and enough replicas acknowledge its writes",
    registers,
    collect() {
      this.set(isPrimaryReady() ? 1 : 0);
    },
  });
  new Gauge({
    name: "redis_rest_replica_lag_seconds",
    help: "Upper bound of the age of a reply of this replica, the measuring interval included",
    labelNames: ["replica"],
    registers,
    collect() {
      this.reset();
      for (const { name, freshAsOfMs } of replicas()) this.set({ replica: name }, (nowMs() - freshAsOfMs) / 1_000);
    },
  });
  new Gauge({
    name: "redis_rest_replica_lag_bytes",
    help: "Bytes of the replication stream that this replica had not applied when last asked",
    labelNames: ["replica"],
    registers,
    collect() {
      this.reset();
      for (const { name, lagBytes } of replicas()) this.set({ replica: name }, lagBytes);
    },
  });
  new Gauge({
    name: "redis_rest_write_replicas_required",
    help: "Replicas that must acknowledge a write (WRITE_REPLICAS); 0: none",
    registers,
  }).set(writeReplicas);
  new Gauge({
    name: "redis_rest_write_replicas_acknowledged",
    help: "Replicas that acknowledged the last group of writes in time; Redis stops counting at those that are required",
    registers,
    collect() {
      this.set(acknowledgedBy());
    },
  });
  // Looked up once: a label costs more than the count.
  const byOutcome = { replies: batches.labels("replies"), unavailable: batches.labels("unavailable") };
  return {
    registry,
    countBatch(outcome, taken) {
      byOutcome[outcome.kind].inc();
      seconds.observe(taken);
    },
    countReplicaRead(result) {
      reads.inc({ result });
    },
  };
}
