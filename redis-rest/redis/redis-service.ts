import type { Logger } from "pino";
import type { RedisRestConfig } from "../config.ts";
import { createMetrics, type Metrics } from "../metrics.ts";
import { killLostScripts } from "./busy-scripts.ts";
import { type CommandTable, loadCommandTable } from "./command-policy.ts";
import { createCommandRouter, type ExecuteBatch, nowMs } from "./command-router.ts";
import { askSentinels, connectPrimary, type PrimaryConnection, refuseWithoutProofs } from "./primary.ts";
import { PrimaryLease } from "./primary-lease.ts";
import type { RedisConnection, RunBatch } from "./redis-connection.ts";
import { createReplicaReads } from "./replica-reads.ts";
import { ReplicaSet } from "./replica-set.ts";
import { ReplicatedWriter } from "./replicated-writer.ts";

/** Redis as the configuration asks for it: one primary, with or without its replicas. */
export interface RedisService {
  readonly table: CommandTable;
  readonly execute: ExecuteBatch;
  readonly metrics: Metrics;
  /** Whether the primary can be asked now. */
  isReady(): boolean;
  close(): void;
}

/** Connects what the configuration asks for. Throws StartError. */
export async function connectRedis(config: RedisRestConfig, log: Logger): Promise<RedisService> {
  const sentinels = askSentinels(config);
  const connections: RedisConnection[] = [];
  const disconnect = () => {
    sentinels?.close();
    for (const { client } of connections) client.disconnect();
  };
  try {
    const open = async () => {
      const opened = await connectPrimary(config, log, sentinels);
      connections.push(opened.connection);
      return opened;
    };
    const opened = await open();
    const { run } = opened.connection;
    const table = await loadCommandTable(run);
    const writer = config.writeReplicas > 0 ? replicatedWriter(config, await open()) : undefined;
    if (writer !== undefined) {
      await refuseWithoutProofs(opened);
      // The first proof. If it fails, requests are refused until one succeeds.
      await writer.run([]);
    }
    const lease = writer && new PrimaryLease({ writer, serverId: opened.serverId, leaseMs: config.readLeaseMs });
    const primary = lease?.guard(run) ?? run;
    const isReady = () => connections.every(({ client }) => client.status === "ready") && (lease?.isHeld ?? true);
    const replicas = config.replicaReads ? followReplicas(config, primary, log) : undefined;
    const metrics = createMetrics({
      isPrimaryReady: isReady,
      replicas: () => replicas?.replicas ?? [],
      nowMs,
      writeReplicas: config.writeReplicas,
      acknowledgedBy: () => writer?.acknowledgedBy ?? 0,
    });
    const execute = createCommandRouter({
      table,
      deadlineMs: config.deadlineMs,
      primary,
      writer: writer === undefined ? primary : (commands) => writer.run(commands),
      reader: replicas === undefined ? primary : replicaReads(config, primary, replicas, metrics),
      onExecuted: metrics.countBatch,
    });
    return {
      table,
      metrics,
      isReady,
      execute,
      close() {
        replicas?.close();
        disconnect();
      },
    };
  } catch (error) {
    disconnect();
    throw error;
  }
}

function followReplicas(config: RedisRestConfig, askPrimary: RunBatch, log: Logger): ReplicaSet {
  const onOpen = (connection: RedisConnection) => {
    if (config.killScripts) killLostScripts(connection, log);
  };
  return new ReplicaSet({ location: config.redis, deadlineMs: config.deadlineMs, askPrimary, onOpen, nowMs });
}

function replicatedWriter(
  { writeReplicas, deadlineMs }: RedisRestConfig,
  { connection, serverId }: PrimaryConnection,
): ReplicatedWriter {
  // Half of the deadline, so that a batch behind a group that fails can still get its replies.
  const waitMs = Math.floor(deadlineMs / 2);
  return new ReplicatedWriter({ runAtPrimary: connection.run, serverId, replicas: writeReplicas, waitMs, deadlineMs });
}

function replicaReads(config: RedisRestConfig, askPrimary: RunBatch, replicas: ReplicaSet, metrics: Metrics) {
  // A quarter of the deadline, which leaves the primary most of it.
  const patienceMs = Math.floor(config.deadlineMs / 4);
  return createReplicaReads({ replicas, askPrimary, patienceMs, onResult: metrics.countReplicaRead });
}
