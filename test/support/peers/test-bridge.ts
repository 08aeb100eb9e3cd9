import { pino } from "pino";
import { type Bridge, startBridge } from "../../../tcp-bridge/bridge.ts";
import { type BridgeConfig, parseBridgeConfig } from "../../../tcp-bridge/config.ts";
import { until } from "../until.ts";
import { GamePeer } from "./game-peer.ts";
import { PacketEdge } from "./packet-edge.ts";

/** A bridge on any free ports in front of a {@link PacketEdge}, and the peers that a test connects. */
export class TestBridge {
  readonly edge: PacketEdge;
  readonly bridge: Bridge;
  /** Every line that the bridge has logged. */
  readonly log: string[];
  readonly #peers: GamePeer[] = [];

  private constructor(edge: PacketEdge, bridge: Bridge, log: string[]) {
    this.edge = edge;
    this.bridge = bridge;
    this.log = log;
  }

  /** Starts both; `variables` are the bridge's. `prepare` changes the edge before the bridge knows it. */
  static async open(
    variables: Readonly<Record<string, string>> = {},
    prepare: (edge: PacketEdge) => void = () => undefined,
  ): Promise<TestBridge> {
    const edge = await PacketEdge.open();
    prepare(edge);
    const log: string[] = [];
    const logger = pino({ level: "debug" }, { write: (line: string) => log.push(line) });
    const bridge = await startBridge(testConfig(edge, variables), logger);
    return new TestBridge(edge, bridge, log);
  }

  /** Starts a bridge that holds a lease, in front of an edge that lets it keep sessions for 60 s. */
  static async openWithLease(variables: Readonly<Record<string, string>> = {}): Promise<TestBridge> {
    const stack = await TestBridge.open({ BRIDGE_CACHE_MS: "60000", ...variables }, (edge) => {
      edge.hub.refusal = undefined;
      edge.keepSeconds = 60;
    });
    await stack.holdsLease();
    return stack;
  }

  /** Resolves when the bridge holds a lease, or when it holds none. */
  async holdsLease(held = true): Promise<void> {
    await until(async () => (await this.metric("artoria_bridge_lease_held")) === (held ? 1 : 0));
  }

  async connect(localAddress?: string): Promise<GamePeer> {
    const peer = await GamePeer.connect(this.bridge.gameAddress, localAddress);
    this.#peers.push(peer);
    return peer;
  }

  /** The check port, for a bridge with CHECK_PORT. */
  get checkUrl(): string {
    return `http://127.0.0.1:${this.bridge.checkAddress?.port}`;
  }

  /** The response to a GET of `/metrics`, `/healthz` or `/readyz`. */
  async watch(path: string): Promise<{ status: number; body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.bridge.metricsAddress.port}${path}`);
    return { status: response.status, body: await response.text() };
  }

  /** A metric's value, undefined if it has none yet: `metric('artoria_bridge_refusals_total{code="idle"}')`. */
  async metric(series: string): Promise<number | undefined> {
    const { body } = await this.watch("/metrics");
    const line = body.split("\n").find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.close();
    await this.bridge.close();
    await this.edge.close();
  }
}

function testConfig(edge: PacketEdge, variables: Readonly<Record<string, string>>): BridgeConfig {
  return parseBridgeConfig({
    EDGE_URL: edge.url,
    API_KEY: edge.apiKey,
    BRIDGE_PORT: "0",
    METRICS_PORT: "0",
    ...variables,
  });
}
