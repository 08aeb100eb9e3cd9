import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseToken } from "../../../protocol/session-token.ts";
import { type Certificate, selfSigned } from "../peers/certificates.ts";
import { type Edge, startEdge } from "../workerd/miniflare-edge.ts";
import { BridgeProgram } from "./bridge-program.ts";
import { Haproxy } from "./proxies.ts";
import { killWorkerd } from "./workerd.ts";

const API_KEY = "key";

/** All that stands between players and a room, as it would in production: HAProxy, two bridges, workerd. */
export class RoomStage {
  readonly certificate: Certificate;
  readonly bridges: readonly [BridgeProgram, BridgeProgram];
  readonly haproxy: Haproxy;
  readonly #stateDir: string;
  #edge: Edge;

  private constructor(
    parts: Pick<RoomStage, "certificate" | "bridges" | "haproxy"> & { readonly edge: Edge; readonly stateDir: string },
  ) {
    this.certificate = parts.certificate;
    this.bridges = parts.bridges;
    this.haproxy = parts.haproxy;
    this.#edge = parts.edge;
    this.#stateDir = parts.stateDir;
  }

  static async open(): Promise<RoomStage> {
    const stateDir = await mkdtemp(join(tmpdir(), "artoria-rooms-"));
    const stops = [() => rm(stateDir, { recursive: true, force: true })];
    try {
      const certificate = await selfSigned("localhost");
      const edge = await startEdgeOn(stateDir, 0);
      stops.unshift(() => edge.close());
      const startBridge = async (): Promise<BridgeProgram> => {
        const bridge = await BridgeProgram.start({
          ...{ edgeUrl: edge.url, certificate },
          variables: { BRIDGE_PROXY_PROTOCOL: "player", TRUSTED_PROXIES: "127.0.0.1" },
        });
        stops.unshift(() => bridge.kill());
        return bridge;
      };
      const bridges = [await startBridge(), await startBridge()] as const;
      return new RoomStage({ certificate, bridges, haproxy: await Haproxy.start(bridges), edge, stateDir });
    } catch (error) {
      for (const stop of stops) await stop();
      throw error;
    }
  }

  /** A session for each of `count` users. */
  async issueTokens(count: number): Promise<Uint8Array[]> {
    return await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const response = await this.ask("POST", "/v1/sessions", { user: `player-${index}` });
        const { token } = (await response.json()) as { token: string };
        return parseToken(token) ?? new Uint8Array(0);
      }),
    );
  }

  /** Asks the edge as a service. */
  ask(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${this.#edge.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** Takes a room's memory away; its WebSockets hibernate, or are closed too. */
  async evict(room: string, webSockets: "hibernate" | "close"): Promise<void> {
    await this.#edge.miniflare.unsafeEvictDurableObject("artoria", "ChatRoom", { name: room, webSockets });
  }

  /** Ends workerd, or kills it, and starts it again: at the same address, on what it has stored. */
  async restartEdge(how: "end" | "kill"): Promise<void> {
    const port = Number(new URL(this.#edge.url).port);
    if (how === "kill") await killWorkerd(this.#edge);
    await this.#edge.close();
    this.#edge = await startEdgeOn(this.#stateDir, port);
  }

  async close(): Promise<void> {
    await this.haproxy.stop();
    await Promise.all(this.bridges.map((bridge) => bridge.kill()));
    await this.#edge.close();
    await rm(this.#stateDir, { recursive: true, force: true });
  }
}

function startEdgeOn(stateDir: string, port: number): Promise<Edge> {
  return startEdge({ host: "127.0.0.1", port, variables: { API_KEYS: API_KEY }, stateDir });
}
