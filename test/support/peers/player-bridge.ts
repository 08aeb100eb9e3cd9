import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { type Bridge, startBridge } from "../../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../../tcp-bridge/config.ts";
import { type Certificate, selfSigned } from "./certificates.ts";
import { PlayerPeer } from "./player-peer.ts";

/** A bridge with a player port on any free ports, and the players that a test connects. */
export class PlayerBridge {
  readonly bridge: Bridge;
  readonly certificate: Certificate;
  /** Every line that the bridge has logged. */
  readonly log: string[];
  readonly #peers: PlayerPeer[] = [];

  private constructor(bridge: Bridge, certificate: Certificate, log: string[]) {
    this.bridge = bridge;
    this.certificate = certificate;
    this.log = log;
  }

  /** Starts it in front of an edge; `variables` are the bridge's. */
  static async open(edgeUrl: string, variables: Readonly<Record<string, string>> = {}): Promise<PlayerBridge> {
    const certificate = await selfSigned("localhost");
    const log: string[] = [];
    const logger = pino({ level: "trace" }, { write: (line: string) => log.push(line) });
    const config = parseBridgeConfig({
      EDGE_URL: edgeUrl,
      API_KEY: "test-key",
      PLAYER_TLS_CERT: certificate.cert,
      PLAYER_TLS_KEY: certificate.key,
      ...{ BRIDGE_PORT: "0", PLAYER_PORT: "0", METRICS_PORT: "0" },
      // The edges of players' tests count the WebSockets that they are asked for.
      BRIDGE_CACHE_SESSIONS: "0",
      ...variables,
    });
    return new PlayerBridge(await startBridge(config, logger), certificate, log);
  }

  get address(): AddressInfo {
    const { playerAddress } = this.bridge;
    if (playerAddress === undefined) throw new Error("there is no player port");
    return playerAddress;
  }

  async connect(localAddress?: string, header?: Uint8Array): Promise<PlayerPeer> {
    const peer = await PlayerPeer.connect(this.address, this.certificate.cert, localAddress, header);
    this.#peers.push(peer);
    return peer;
  }

  /** A metric's value, undefined if it has none yet; its name without `artoria_bridge_player_`. */
  async metric(series: string): Promise<number | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.bridge.metricsAddress.port}/metrics`);
    const lines = (await response.text()).split("\n");
    const start = `artoria_bridge_player_${series} `;
    const line = lines.find((candidate) => candidate.startsWith(start));
    return line === undefined ? undefined : Number(line.slice(start.length));
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.close();
    await this.bridge.close();
  }
}
