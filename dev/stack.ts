import { randomBytes, X509Certificate } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Edge, type EdgeOptions, startEdge } from "../edge/edge.ts";
import { parseRedisRestConfig } from "../redis-rest/config.ts";
import { type RedisRest, startRedisRest } from "../redis-rest/server.ts";
import { type Bridge, startBridge } from "../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../tcp-bridge/config.ts";
import { parseWorkerConfig } from "../worker/config.ts";
import { type BundleOptions, buildEdge } from "./build-edge.ts";
import { hasPlayerCertificate, type StackConfig } from "./config.ts";
import { developmentCertificate } from "./development-certificate.ts";

/** Everything of Artoria on one machine: redis-rest if there is a Redis, the edge, the bridge. */
export interface Stack {
  readonly edgeUrl: string;
  readonly gameAddress: { readonly host: string; readonly port: number };
  readonly playerAddress: { readonly host: string; readonly port: number };
  /** SHA-256 of the player port's certificate, hex with colons. */
  readonly playerFingerprint: string;
  /** `/v1/check` of the bridge. */
  readonly checkUrl: string;
  readonly metricsUrl: string;
  /** Undefined with the embedded store. */
  readonly redisRestUrl: string | undefined;
  readonly edge: Edge;
  /** Drains the bridge, then ends the rest; leaves no process behind. */
  close(): Promise<void>;
}

export interface StackOptions {
  /** Called when everything listens, and before any part responds to a request. */
  readonly announce?: (stack: Stack) => void;
  /** Of the worker ({@link BundleOptions}). */
  readonly transformScript?: BundleOptions["transformScript"];
}

/**
 * Starts the parts, each after those that it needs. If one does not start, the others are closed.
 *
 * @throws Error one line for the user: a wrong variable, a Redis that does not reply
 */
export async function startStack(config: StackConfig, options: StackOptions = {}): Promise<Stack> {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const started: Started = [];
  const close = async () => {
    while (started.length > 0) await started.pop()?.close();
  };
  try {
    // These two listen before the other parts do, so requests to them wait.
    const redisRest = await startRedisRestIfAsked(config, started, opened);
    const edge = await startEdgeOn(config, redisRest, started, { opened, transformScript: options.transformScript });
    // Nothing is read from a connection between here and `open`: the bridge listens without waiting for I/O.
    const { bridge, playerAddress, playerFingerprint, checkUrl } = await startBridgeTo(config, edge, started);
    const stack = {
      edgeUrl: edge.url,
      gameAddress: { host: bridge.gameAddress.address, port: bridge.gameAddress.port },
      playerAddress: { host: playerAddress.address, port: playerAddress.port },
      playerFingerprint,
      checkUrl,
      metricsUrl: `http://127.0.0.1:${bridge.metricsAddress.port}`,
      redisRestUrl: redisRest?.server.url,
      edge,
      close,
    };
    options.announce?.(stack);
    open();
    return stack;
  } catch (error) {
    await close();
    throw error;
  }
}

interface OwnRedisRest {
  readonly server: RedisRest;
  readonly token: string;
}

type Started = { close(): Promise<unknown> }[];

async function startRedisRestIfAsked(
  config: StackConfig,
  started: Started,
  opened: Promise<void>,
): Promise<OwnRedisRest | undefined> {
  if (config.redisUrl === undefined) return undefined;
  // Only this process has it.
  const token = randomBytes(24).toString("base64url");
  const server = await startRedisRest(
    parseRedisRestConfig({
      REDIS_URL: config.redisUrl,
      REDIS_REST_PORT: String(config.redisRestPort),
      REDIS_REST_TOKEN: token,
    }),
    { opened },
  );
  started.push(server);
  return { server, token };
}

async function startEdgeOn(
  config: StackConfig,
  redisRest: OwnRedisRest | undefined,
  started: Started,
  { opened, transformScript }: Pick<EdgeOptions, "opened"> & BundleOptions,
): Promise<Edge> {
  const store: Record<string, string> =
    redisRest === undefined
      ? { SESSION_STORE: "embedded" }
      : {
          SESSION_STORE: "redis",
          UPSTASH_REDIS_REST_URL: redisRest.server.url,
          UPSTASH_REDIS_REST_TOKEN: redisRest.token,
        };
  const variables = { ...config.workerVariables, ...store, LOOPBACK_ONLY: config.isLoopbackOnly ? "1" : "0" };
  // The worker would report a wrong variable in every response; here it stops the start.
  parseWorkerConfig(variables);
  const directory = await mkdtemp(join(tmpdir(), "artoria-build-"));
  const removeBuild = () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  // A signal during the start, and a second one during the stop, end this process at once, perhaps while it writes there.
  process.once("exit", removeBuild);
  started.push({
    async close() {
      process.off("exit", removeBuild);
      removeBuild();
    },
  });
  const build = await buildEdge(directory, { transformScript });
  const edge = await startEdge(
    build,
    {
      host: "127.0.0.1",
      port: config.edgePort,
      tls: undefined,
      peers: undefined,
      state: { kind: "own", directory: config.stateDir },
      variables,
      trustedCertificates: config.trustedCertificates,
      // Nobody asks /readyz whether to send requests elsewhere.
      drainMs: 0,
    },
    { opened, print: (line) => process.stderr.write(`${line}\n`) },
  );
  started.push(edge);
  return edge;
}

interface OwnBridge {
  readonly bridge: Bridge;
  readonly playerAddress: AddressInfo;
  readonly playerFingerprint: string;
  readonly checkUrl: string;
}

async function startBridgeTo(config: StackConfig, edge: Edge, started: Started): Promise<OwnBridge> {
  const bridgeConfig = parseBridgeConfig({
    ...config.bridgeVariables,
    ...(await playerTls(config)),
    EDGE_URL: edge.url,
  });
  const bridge = await startBridge(bridgeConfig);
  started.push({ close: () => bridge.drain() });
  const { playerAddress, checkAddress } = bridge;
  const cert = bridgeConfig.player?.endpoint.tls?.cert;
  if (playerAddress === undefined || cert === undefined) throw new Error("the bridge has opened no player port");
  if (checkAddress === undefined) throw new Error("the bridge has opened no check port");
  const { address, port } = checkAddress;
  const scheme = bridgeConfig.check?.endpoint.tls === undefined ? "http" : "https";
  const checkUrl = `${scheme}://${address.includes(":") ? `[${address}]` : address}:${port}/v1/check`;
  return { bridge, playerAddress, playerFingerprint: new X509Certificate(cert).fingerprint256, checkUrl };
}

/** The player port's certificate: one made now, unless the developer has one. */
async function playerTls({ bridgeVariables }: StackConfig): Promise<Record<string, string>> {
  if (hasPlayerCertificate(bridgeVariables)) return {};
  const { cert, key } = await developmentCertificate();
  return { PLAYER_TLS_CERT: cert, PLAYER_TLS_KEY: key };
}
