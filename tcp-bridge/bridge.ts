import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type Logger, pino } from "pino";
import type { Answers } from "../protocol/leases/leased-sessions.ts";
import { PACKAGE_VERSION } from "../protocol/versions.ts";
import { CheckPort } from "./check/check-port.ts";
import { EdgeLookup, type SessionLookup } from "./check/edge-lookup.ts";
import type { BridgeConfig } from "./config.ts";
import { maxOpenFiles, shareOpenFiles } from "./core/connection-limits.ts";
import { countAndLog, countRefusals, type Endpoint, type Listener, MAX_LINGERING } from "./core/listener.ts";
import { CertificateFiles, type TlsPort } from "./core/tls-identity.ts";
import { MAX_AWAITED_HEADERS } from "./core/trusted-proxies.ts";
import { LANES } from "./edge/batch.ts";
import { BatchDispatcher } from "./edge/batch-dispatcher.ts";
import { EdgeClient } from "./edge/edge-client.ts";
import { EdgeFailureLog, EdgeProbe } from "./edge/edge-health.ts";
import { EdgeVersion } from "./edge/edge-version.ts";
import { createGamePort, type GamePortParts } from "./game/game-port.ts";
import { DueChecks } from "./leases/due-checks.ts";
import { HubConnection, type HubConnectionOptions } from "./leases/hub-connection.ts";
import type { KeptSessions } from "./leases/kept-sessions.ts";
import { BridgeMetrics, type PortSetup, registerSetup } from "./metrics/bridge-metrics.ts";
import { CheckMetrics } from "./metrics/check-metrics.ts";
import { LeaseMetrics } from "./metrics/lease-metrics.ts";
import { MetricsServer, type Readiness } from "./metrics/metrics-server.ts";
import { PlayerMetrics } from "./metrics/player-metrics.ts";
import { WatchMetrics } from "./metrics/watch-metrics.ts";
import { PlayerPort } from "./player/player-port.ts";
import { Watches } from "./watches/watches.ts";

/** A bridge that listens. */
export interface Bridge {
  readonly gameAddress: AddressInfo;
  /** Undefined without a player port. */
  readonly playerAddress: AddressInfo | undefined;
  /** Undefined without a check port. */
  readonly checkAddress: AddressInfo | undefined;
  readonly metricsAddress: AddressInfo;
  /**
   * Reads the files of the ports' certificates now, not only when they are found to have changed. Absent if no certificate is in a
   * file.
   */
  readonly reloadCertificates?: () => Promise<void>;
  /**
   * Becomes not ready, and serves on for BRIDGE_DRAIN_MS. Then it accepts no new connections, responds to what was received, tells
   * players to go to another bridge, and closes: within 9 s.
   */
  drain(): Promise<void>;
  /** Disconnects all connections at once. Idempotent. */
  close(): Promise<void>;
}

/** Responses take at most two deadlines of 2 s; the remaining time is for peers that read slowly. */
const DRAIN_MS = 8_000;

/**
 * Starts a bridge.
 *
 * @throws the system's error if a port cannot be opened (EADDRINUSE, EACCES); then nothing stays open
 */
export async function startBridge(
  configured: BridgeConfig,
  logger = pino({ level: configured.logLevel }),
): Promise<Bridge> {
  for (const warning of configured.warnings) logger.warn(warning);
  const config = fitOpenFiles(configured, logger);
  const edgeVersion = new EdgeVersion(logger);
  const edge = new EdgeClient({
    url: config.edge.url,
    apiKey: config.edge.apiKey,
    asksKeep: config.cache !== undefined,
    maxConnections: edgeConnections(config),
    connectTimeoutMs: config.edge.deadlineMs,
    version: edgeVersion,
  });
  const failureLog = new EdgeFailureLog(logger);
  const metrics: BridgeMetrics = new BridgeMetrics({
    connections: () => gamePort.connections,
    batchesInFlight: () => dispatcher.batchesInFlight,
    packetsWaiting: () => dispatcher.packetsWaiting,
  });
  const certificates = new Map<string, CertificateFiles>();
  registerSetup(metrics.registry, PACKAGE_VERSION, portsOf(config, certificates));
  const leaseMetrics = new LeaseMetrics(metrics.registry, config.cache?.maxSessions ?? 0, {
    keptSessions: () => hub?.sessions.size ?? 0,
    holdsLease: () => hub?.kept.holdsLease ?? false,
  });
  const checkMetrics =
    config.check && new CheckMetrics(metrics.registry, { connections: () => checkPort?.connections ?? 0 });
  const answers = (): Answers =>
    sumOf([metrics.answers, ...(checkMetrics === undefined ? [] : [checkMetrics.answers])]);
  const hub = openHub(config, { edgeVersion, metrics: leaseMetrics, answers }, logger);
  const kept = hub?.kept;
  const { maxBatchesInFlight, deadlineMs } = config.edge;
  const dispatcher = new BatchDispatcher(edge, {
    maxBatchesInFlight,
    deadlineMs,
    revocationBoundMs: () => hub?.sessions.boundMs ?? DEFAULT_REVOCATION_BOUND_MS,
    kept,
    metrics,
    failureLog,
  });
  const dueChecks = hub && new DueChecks(hub, dispatcher, config.cache?.maxSessions ?? 0);
  const watches = openWatches(config, kept, metrics, logger);
  const gamePort = openGamePort(config, { dispatcher, kept, watches, metrics }, logger);
  const playerPort = openPlayerPort(config, failureLog, metrics, logger);
  const checkPort = openCheckPort(config, { lookup: new EdgeLookup(dispatcher, kept), metrics: checkMetrics }, logger);
  followCertificate(certificates, "game", config.game, gamePort, logger);
  followCertificate(certificates, "player", config.player?.endpoint, playerPort, logger);
  followCertificate(certificates, "check", config.check?.endpoint, checkPort, logger);
  const probe = new EdgeProbe(edge, config.edge.deadlineMs);
  let draining = false;
  const readiness = async (): Promise<Readiness> => {
    if (draining) return { ready: false, reason: "draining", ...edgeVersion.versions };
    const failure = await probe.failure();
    if (failure === undefined) return { ready: true, ...edgeVersion.versions };
    failureLog.log(failure);
    return { ready: false, reason: failure.code, ...edgeVersion.versions };
  };
  const metricsServer = new MetricsServer(config.metrics, metrics.registry, readiness, (error) =>
    logger.error({ err: error }, "the metrics port failed"),
  );

  const closeHub = async (): Promise<void> => {
    dueChecks?.stop();
    await hub?.close();
  };
  const close = async (): Promise<void> => {
    for (const files of certificates.values()) files.stop();
    const ports = [gamePort.close(), playerPort?.close(), checkPort?.close(), metricsServer.close()];
    await Promise.all([...ports, closeHub()]);
    await Promise.all([edge.close(), watches.close()]);
    metrics.close();
  };
  try {
    const gameAddress = await gamePort.open();
    const playerAddress = await playerPort?.open();
    const checkAddress = await checkPort?.open();
    const metricsAddress = await metricsServer.open();
    hub?.open();
    dueChecks?.start();
    for (const files of certificates.values()) files.start();
    const tls = config.game.tls !== undefined;
    const others = { playerAddress: playerAddress ?? "none", checkAddress: checkAddress ?? "none", metricsAddress };
    logger.info({ version: PACKAGE_VERSION, gameAddress, tls, ...others }, "the bridge listens");
    return {
      gameAddress,
      playerAddress,
      checkAddress,
      metricsAddress,
      ...(certificates.size > 0 && {
        reloadCertificates: async () => {
          await Promise.all(Array.from(certificates.values(), (files) => files.reload()));
        },
      }),
      drain: async () => {
        draining = true;
        logger.info({ connections: gamePort.connections, players: playerPort?.connections ?? 0 }, "draining");
        if (config.drainMs > 0) await pause(config.drainMs);
        const ports = [gamePort.drain(DRAIN_MS), playerPort?.drain(DRAIN_MS), checkPort?.drain(DRAIN_MS)];
        await Promise.all([...ports, closeHub()]);
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

/** What a worker promises by default (REVOCATION_BOUND_MS, docs/configuration.md). */
const DEFAULT_REVOCATION_BOUND_MS = 1_000;

/** BRIDGE_CACHE_SESSIONS bounds the memory as well: sessions with longer users and grants than this, in the mean, are fewer. */
const MAX_MEAN_ENTRY_BYTES = 1_024;

/** Each batch may need a second connection for its retry, and the probe needs one. */
function edgeConnections({ edge }: BridgeConfig): number {
  return 2 * LANES.length * edge.maxBatchesInFlight + 1;
}

/** One for the stream of events, and one for each page. */
function eventConnections({ edge }: BridgeConfig): number {
  return 1 + edge.maxPagesAtOnce;
}

/** The files that Node, the log and the listening sockets have open, and some spare ones. */
const OWN_FILES = 64;

/** Lowers the limits of the ports to the files that this process may open, so that a full port leaves files for the others. */
function fitOpenFiles(config: BridgeConfig, logger: Logger): BridgeConfig {
  const openFiles = maxOpenFiles();
  if (openFiles === undefined) return config;
  const { gameLimits, player, check, metrics } = config;
  const proxied = [config.game, player?.endpoint, check?.endpoint].filter((port) => port?.proxies !== undefined);
  const waiting = MAX_LINGERING + metrics.maxConnections + proxied.length * MAX_AWAITED_HEADERS;
  const reserved = OWN_FILES + waiting + edgeConnections(config) + eventConnections(config);
  const demanded = [
    gameLimits.maxConnections,
    player?.limits.maxConnections ?? 0,
    check?.limits.maxConnections ?? 0,
  ] as const;
  const [game = 1, players = 1, checks = 1] = shareOpenFiles(openFiles, reserved, [
    { connections: demanded[0], filesEach: 1 },
    // The connection of the player, and the WebSocket to its room.
    { connections: demanded[1], filesEach: 2 },
    { connections: demanded[2], filesEach: 1 },
  ]);
  if (game >= demanded[0] && players >= demanded[1] && checks >= demanded[2]) return config;
  const others = { players: player === undefined ? "none" : players, checks: check === undefined ? "none" : checks };
  logger.info({ openFiles, connections: game, ...others }, "too few open files (ulimit -n): limits lowered");
  return {
    ...config,
    gameLimits: { ...gameLimits, maxConnections: game },
    ...(player === undefined ? {} : { player: { ...player, limits: { ...player.limits, maxConnections: players } } }),
    ...(check === undefined ? {} : { check: { ...check, limits: { ...check.limits, maxConnections: checks } } }),
  };
}

/** The ports that are open, by the name that metrics know them by. */
function portsOf(
  { game, gameLimits, player, check }: BridgeConfig,
  certificates: ReadonlyMap<string, CertificateFiles>,
): Readonly<Record<string, PortSetup>> {
  const setup = (name: string, { maxConnections }: { maxConnections: number }, { tls }: Endpoint): PortSetup => ({
    maxConnections,
    identity: () => certificates.get(name)?.identity ?? tls,
  });
  return {
    game: setup("game", gameLimits, game),
    ...(player && { player: setup("player", player.limits, player.endpoint) }),
    ...(check && { check: setup("check", check.limits, check.endpoint) }),
  };
}

/** Follows the files of a port's certificate, if it has any. */
function followCertificate(
  certificates: Map<string, CertificateFiles>,
  name: string,
  endpoint: Endpoint | undefined,
  port: TlsPort | undefined,
  logger: Logger,
): void {
  const identity = endpoint?.tls;
  if (identity?.files === undefined || port === undefined) return;
  certificates.set(name, new CertificateFiles({ name, identity, port, logger }));
}

function openGamePort(
  config: BridgeConfig,
  parts: GamePortParts & { metrics: BridgeMetrics },
  logger: Logger,
): Listener {
  return createGamePort(config.game, config.gameLimits, parts, countAndLog("a connection", parts.metrics, logger));
}

/** Undefined if the bridge keeps nothing. */
function openHub(
  { edge, cache }: BridgeConfig,
  parts: Pick<HubConnectionOptions, "edgeVersion" | "metrics" | "answers">,
  logger: Logger,
): HubConnection | undefined {
  if (cache === undefined) return undefined;
  const limits = { ...cache, maxBytes: cache.maxSessions * MAX_MEAN_ENTRY_BYTES };
  return new HubConnection({
    edgeUrl: edge.url,
    apiKey: edge.apiKey,
    connectTimeoutMs: edge.deadlineMs,
    limits,
    ...parts,
    logger,
  });
}

function sumOf(parts: readonly Answers[]): Answers {
  const sum = { answered: 0, fromMemory: 0 };
  for (const { answered, fromMemory } of parts) {
    sum.answered += answered;
    sum.fromMemory += fromMemory;
  }
  return sum;
}

function openWatches(
  { edge }: BridgeConfig,
  kept: KeptSessions | undefined,
  bridgeMetrics: BridgeMetrics,
  logger: Logger,
): Watches {
  const metrics = new WatchMetrics(bridgeMetrics.registry, {
    watchers: () => watches.size,
    isUp: () => watches.isLive || watches.size === 0,
  });
  const { url: edgeUrl, apiKey, deadlineMs, maxPagesAtOnce } = edge;
  const watches: Watches = new Watches({ edgeUrl, apiKey, deadlineMs, maxPagesAtOnce, kept, metrics, logger });
  return watches;
}

function openPlayerPort(
  { player, edge }: BridgeConfig,
  failureLog: EdgeFailureLog,
  bridgeMetrics: BridgeMetrics,
  logger: Logger,
): PlayerPort | undefined {
  if (player === undefined) return undefined;
  const metrics = new PlayerMetrics(bridgeMetrics.registry, {
    connections: () => port.connections,
    joinsWaiting: () => port.joinsWaiting,
  });
  const parts = { metrics, failureLog };
  const observer = countAndLog("a player's connection", metrics, logger);
  const port: PlayerPort = new PlayerPort(player, edge.url, parts, observer);
  return port;
}

function openCheckPort(
  { check }: BridgeConfig,
  { lookup, metrics }: { readonly lookup: SessionLookup; readonly metrics: CheckMetrics | undefined },
  logger: Logger,
): CheckPort | undefined {
  if (check === undefined || metrics === undefined) return undefined;
  const onFault = (error: unknown): void => logger.error({ err: error }, "the check port failed");
  const onRefused = countRefusals("a connection to the check port", (code) => metrics.refused(code), logger);
  return new CheckPort(check, { lookup, metrics, onRefused, onFault });
}
