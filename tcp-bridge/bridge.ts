import type { AddressInfo } from "node:net";
import { type Logger, pino } from "pino";
import type { BridgeConfig } from "./config.ts";
import { maxOpenFiles, shareOpenFiles } from "./core/connection-limits.ts";
import type { Listener } from "./core/listener.ts";
import { MAX_LINGERING } from "./core/listener.ts";
import { BatchDispatcher } from "./edge/batch-dispatcher.ts";
import { EdgeClient } from "./edge/edge-client.ts";
import { EdgeFailureLog, EdgeProbe } from "./edge/edge-health.ts";
import { createGamePort } from "./game/game-port.ts";
import { BridgeMetrics } from "./metrics/bridge-metrics.ts";
import { MetricsServer, type Readiness } from "./metrics/metrics-server.ts";
import { PlayerMetrics } from "./metrics/player-metrics.ts";
import { PlayerPort } from "./player/player-port.ts";

/** A bridge that listens. */
export interface Bridge {
  readonly gameAddress: AddressInfo;
  /** Undefined without a player port. */
  readonly playerAddress: AddressInfo | undefined;
  readonly metricsAddress: AddressInfo;
  /**
   * Stops in order: not ready, no new connections, what was received is answered, players are told to go to another
   * bridge, then as {@link close}. Resolves within 9 s.
   */
  drain(): Promise<void>;
  /** Stops at once; idempotent. */
  close(): Promise<void>;
}

/** What was received is answered within two deadlines of 2 s; the rest is for peers that read slowly. */
const DRAIN_MS = 8_000;

/**
 * Starts a bridge.
 *
 * @throws the system's error if a port cannot be had (EADDRINUSE, EACCES); nothing is left open then
 */
export async function startBridge(
  configured: BridgeConfig,
  logger = pino({ level: configured.logLevel }),
): Promise<Bridge> {
  for (const warning of configured.warnings) logger.warn(warning);
  const config = fitOpenFiles(configured, logger);
  const edge = new EdgeClient({
    url: config.edge.url,
    apiKey: config.edge.apiKey,
    // A retry may have to wait for a connection of its own, and so may the probe.
    maxConnections: 2 * config.edge.maxBatchesInFlight + 1,
    connectTimeoutMs: config.edge.deadlineMs,
  });
  const failures = new EdgeFailureLog(logger);
  const dispatcher: BatchDispatcher = new BatchDispatcher(edge, {
    maxBatchesInFlight: config.edge.maxBatchesInFlight,
    deadlineMs: config.edge.deadlineMs,
    observer: {
      batchSent: (packets) => metrics.batchSent(packets),
      attemptDone: (durationMs, failure) => {
        metrics.attemptDone(durationMs, failure?.code);
        if (failure !== undefined) failures.log(failure);
      },
    },
  });
  const metrics: BridgeMetrics = new BridgeMetrics({
    connections: () => gamePort.connections,
    batchesInFlight: () => dispatcher.batchesInFlight,
    packetsWaiting: () => dispatcher.packetsWaiting,
  });
  const gamePort = openGamePort(config, dispatcher, metrics, logger);
  const playerPort = openPlayerPort(config, failures, metrics, logger);
  const probe = new EdgeProbe(edge, config.edge.deadlineMs);
  let draining = false;
  const readiness = async (): Promise<Readiness> => {
    if (draining) return { ready: false, reason: "draining" };
    const failure = await probe.failure();
    if (failure === undefined) return { ready: true };
    failures.log(failure);
    return { ready: false, reason: failure.code };
  };
  const metricsServer = new MetricsServer(config.metrics, metrics.registry, readiness, (error) =>
    logger.error({ err: error }, "the metrics port failed"),
  );

  const close = async (): Promise<void> => {
    await Promise.all([gamePort.close(), playerPort?.close(), metricsServer.close()]);
    await edge.close();
    metrics.close();
  };
  try {
    const gameAddress = await gamePort.open();
    const playerAddress = await playerPort?.open();
    const metricsAddress = await metricsServer.open();
    const tls = config.game.tls !== undefined;
    logger.info({ gameAddress, tls, playerAddress: playerAddress ?? "none", metricsAddress }, "the bridge listens");
    return {
      gameAddress,
      playerAddress,
      metricsAddress,
      drain: async () => {
        draining = true;
        logger.info({ connections: gamePort.connections, players: playerPort?.connections ?? 0 }, "draining");
        await Promise.all([gamePort.drain(DRAIN_MS), playerPort?.drain(DRAIN_MS)]);
        await close();
        logger.info("drained");
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What Node, the log and the listening sockets have open, and some to spare. */
const OWN_FILES = 64;

/** Lowers the limits of the ports to what the system lets this process open: a full port must not close the others. */
function fitOpenFiles(config: BridgeConfig, logger: Logger): BridgeConfig {
  const openFiles = maxOpenFiles();
  if (openFiles === undefined) return config;
  const { gameLimits, player, metrics, edge } = config;
  const reserved = OWN_FILES + MAX_LINGERING + metrics.maxConnections + 2 * edge.maxBatchesInFlight + 1;
  const [game = 1, players = 1] = shareOpenFiles(openFiles, reserved, [
    { connections: gameLimits.maxConnections, filesEach: 1 },
    // A player's own connection, and the one to its room.
    { connections: player?.limits.maxConnections ?? 0, filesEach: 2 },
  ]);
  if (game === gameLimits.maxConnections && players >= (player?.limits.maxConnections ?? 0)) return config;
  const playersNow = player === undefined ? "none" : players;
  logger.info({ openFiles, connections: game, players: playersNow }, "too few open files (ulimit -n): limits lowered");
  return {
    ...config,
    gameLimits: { ...gameLimits, maxConnections: game },
    ...(player === undefined ? {} : { player: { ...player, limits: { ...player.limits, maxConnections: players } } }),
  };
}

function openGamePort(
  config: BridgeConfig,
  dispatcher: BatchDispatcher,
  metrics: BridgeMetrics,
  logger: Logger,
): Listener {
  return createGamePort(
    config.game,
    config.gameLimits,
    {
      dispatcher,
      onResponses: (answers) => metrics.packets.add(answers),
      onTooManyFailures: (packets) => metrics.refused("failing_checks", packets),
      onTooManyKeys: () => metrics.refused("wrong_keys"),
    },
    {
      onRefused: (code) => {
        metrics.refused(code);
        logger.debug({ code }, "a connection was refused");
      },
      onClosed: (code) => {
        metrics.disconnected(code);
        logger.debug({ code }, "a connection ended");
      },
      onFault: (error) => logger.error({ err: error }, "a connection failed"),
    },
  );
}

function openPlayerPort(
  { player, edge }: BridgeConfig,
  failures: EdgeFailureLog,
  bridgeMetrics: BridgeMetrics,
  logger: Logger,
): PlayerPort | undefined {
  if (player === undefined) return undefined;
  const metrics = new PlayerMetrics(bridgeMetrics.registry, {
    connections: () => port.connections,
    joinsWaiting: () => port.joinsWaiting,
  });
  const port: PlayerPort = new PlayerPort(player, edge.url, {
    joinDone: (outcome) => metrics.joinDone(outcome),
    joinRefused: () => metrics.refused("failed_joins"),
    relayed: (direction, packets, bytes) => metrics.relayed(direction, packets, bytes),
    closedSent: (code, by) => metrics.closedSent(code, by),
    edgeFailed: (failure) => failures.log(failure),
    onRefused: (code) => {
      metrics.refused(code);
      logger.debug({ code }, "a player's connection was refused");
    },
    onClosed: (code) => {
      metrics.disconnected(code);
      logger.debug({ code }, "a player's connection ended");
    },
    onFault: (error) => logger.error({ err: error }, "a player's connection failed"),
  });
  return port;
}
