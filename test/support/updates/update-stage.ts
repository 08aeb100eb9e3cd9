import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildEdge } from "../../../dev/build-edge.ts";
import { freePort } from "../../../dev/free-port.ts";
import { EDGE_BUILD_DIRECTORY } from "../../../edge/edge-build.ts";
import { type Certificate, selfSigned } from "../peers/certificates.ts";
import { BridgeProgram } from "../processes/bridge-program.ts";
import { Program } from "../processes/program.ts";
import { Haproxy } from "../processes/proxies.ts";
import { type RedisServer, startRedisServer } from "../redis/redis-server.ts";
import { until } from "../until.ts";
import type { Places } from "./callers.ts";

const API_KEY = "an-api-key-of-32-characters-or-more";
const SERVICE_KEY = "a-service-key-of-32-characters-or-more";
const REDIS_REST_TOKEN = "a-redis-token-of-32-characters-or-more";

/** How long the slowest machine may need until a program serves. */
const START_MS = 60_000;

/** In memory: rooms wait for their disk, and so do the checks beside them, for as long as others keep it busy. */
const FOLDER = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A part that is replaced while the others serve. */
export interface Part {
  readonly name: string;
  /** As docs/deployment.md says. Resolves when HAProxy sends it clients again. */
  replace(): Promise<void>;
}

/**
 * All of Artoria as docs/deployment.md has it for updates without an outage: HAProxy in front of two bridges and two edges, each edge
 * with a redis-rest of its own on its machine, and one Redis.
 */
export class UpdateStage {
  readonly places: Places;
  readonly haproxy: Haproxy;
  /** In the order in which they are replaced. */
  readonly parts: readonly Part[];
  readonly #stops: (() => Promise<unknown>)[];

  private constructor(places: Places, haproxy: Haproxy, parts: readonly Part[], stops: (() => Promise<unknown>)[]) {
    this.places = places;
    this.haproxy = haproxy;
    this.parts = parts;
    this.#stops = stops;
  }

  static async open(): Promise<UpdateStage> {
    const folder = await mkdtemp(join(FOLDER, "artoria-update-"));
    const stops: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
    try {
      await buildEdge(EDGE_BUILD_DIRECTORY);
      const redis = await startRedisServer();
      stops.unshift(() => redis.stop());
      const certificate = await selfSigned("localhost");
      const files = { authority: join(folder, "authority.pem"), certificate: join(folder, "haproxy.pem") };
      await writeFile(files.authority, certificate.cert);
      await writeFile(files.certificate, `${certificate.cert}\n${certificate.key}\n`, { mode: 0o600 });

      const [gamePort, edgesPort, checksPort] = [await freePort(), await freePort(), await freePort()];
      const [primaryPort, otherPort] = [await freePort(), await freePort()];
      const edgeParts = { redis, certificate, authority: files.authority };
      const primary = await EdgeMachine.start(primaryPort, {
        ...edgeParts,
        state: { STATE_DIR: join(folder, "state") },
      });
      stops.unshift(() => primary.kill());
      const state = { EDGE_PRIMARY_URL: `https://localhost:${primaryPort}` };
      const other = await EdgeMachine.start(otherPort, { ...edgeParts, state });
      stops.unshift(() => other.kill());

      const checkPorts = [await freePort(), await freePort()] as const;
      const bridges = await Promise.all(
        checkPorts.map((port) =>
          BridgeProgram.reserve({
            edgeUrl: `https://localhost:${edgesPort}`,
            certificate,
            variables: bridgeVariables(port, certificate, files.authority),
          }),
        ),
      );
      const haproxy = await Haproxy.start(bridges, {
        GAME_SERVERS: `127.0.0.1:${gamePort}`,
        CHECKS: `127.0.0.1:${checksPort}`,
        EDGES: `127.0.0.1:${edgesPort}`,
        ...Object.fromEntries(bridges.map((bridge, at) => [`BRIDGE_${at + 1}_GAME`, `127.0.0.1:${bridge.gamePort}`])),
        ...Object.fromEntries(checkPorts.map((port, at) => [`BRIDGE_${at + 1}_CHECK`, `127.0.0.1:${port}`])),
        ...{ EDGE_1: `127.0.0.1:${primaryPort}`, EDGE_2: `127.0.0.1:${otherPort}` },
        ...{ CERTIFICATE: files.certificate, AUTHORITY: files.authority },
      });
      stops.unshift(() => haproxy.stop());
      const isUp = (server: string) => until(() => haproxy.isUp(server), START_MS);
      for (const bridge of bridges) {
        bridge.start();
        stops.unshift(() => bridge.kill());
      }
      for (const server of ["bridge-1", "bridge-2", "edge-1", "edge-2"]) await isUp(server);

      const replaceEdge = (name: string, edge: EdgeMachine): Part => ({
        name,
        replace: async () => {
          await edge.replace();
          await isUp(name);
        },
      });
      const replaceBridge = (name: string, bridge: BridgeProgram): Part => ({
        name,
        replace: async () => {
          const code = await bridge.drain();
          if (code !== 0) throw new Error(`a bridge has ended with ${code}: ${bridge.output}`);
          bridge.start();
          await isUp(name);
        },
      });
      const parts = [
        replaceEdge("edge-1", primary),
        replaceEdge("edge-2", other),
        ...bridges.map((bridge, index) => replaceBridge(`bridge-${index + 1}`, bridge)),
      ];
      const places = {
        ...{ gamePort, checkUrl: `https://localhost:${checksPort}`, edgeUrl: `https://localhost:${edgesPort}` },
        ...{ ca: certificate.cert, apiKey: API_KEY, serviceKey: SERVICE_KEY },
      };
      return new UpdateStage(places, haproxy, parts, stops);
    } catch (error) {
      for (const stop of stops) await stop();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }
}

function bridgeVariables(checkPort: number, { cert, key }: Certificate, authority: string): Record<string, string> {
  return {
    API_KEY,
    NODE_EXTRA_CA_CERTS: authority,
    ...{ BRIDGE_PROXY_PROTOCOL: "1", TRUSTED_PROXIES: "127.0.0.1", BRIDGE_DRAIN_MS: "3000" },
    ...{ BRIDGE_TLS_CERT: cert, BRIDGE_TLS_KEY: key, BRIDGE_SERVICE_KEYS: SERVICE_KEY },
    ...{ CHECK_PORT: String(checkPort), CHECK_TLS_CERT: cert, CHECK_TLS_KEY: key },
  };
}

interface EdgeParts {
  readonly redis: RedisServer;
  readonly certificate: Certificate;
  readonly authority: string;
  /** STATE_DIR or EDGE_PRIMARY_URL. */
  readonly state: Readonly<Record<string, string>>;
}

/** What runs on the machine of an edge: `npm run redis-rest` and `npm run edge`. */
class EdgeMachine {
  readonly #port: number;
  readonly #restPort: number;
  readonly #parts: EdgeParts;
  #rest: Program | undefined;
  #edge: Program | undefined;

  private constructor(port: number, restPort: number, parts: EdgeParts) {
    this.#port = port;
    this.#restPort = restPort;
    this.#parts = parts;
  }

  static async start(port: number, parts: EdgeParts): Promise<EdgeMachine> {
    const machine = new EdgeMachine(port, await freePort(), parts);
    await machine.#startBoth();
    return machine;
  }

  /** Ends the edge, then redis-rest, and starts both again. */
  async replace(): Promise<void> {
    for (const program of [this.#edge, this.#rest]) {
      program?.signal("SIGTERM");
      const code = await program?.ended();
      if (code !== 0) throw new Error(`it has ended with ${code}: ${program?.output}`);
    }
    await this.#startBoth();
  }

  async kill(): Promise<void> {
    await this.#edge?.kill();
    await this.#rest?.kill();
  }

  async #startBoth(): Promise<void> {
    const { redis, certificate, authority, state } = this.#parts;
    this.#rest = Program.node("redis-rest/main.ts", [], {
      ...{ REDIS_URL: redis.url, REDIS_REST_PORT: String(this.#restPort), REDIS_REST_TOKEN },
    });
    // Both at once: the edge asks redis-rest when it is asked itself.
    this.#edge = Program.node("edge/main.ts", [], {
      ...{ EDGE_PORT: String(this.#port), API_KEYS: API_KEY, TRUSTED_PROXIES: "127.0.0.1", ...state },
      ...{ EDGE_TLS_CERT: certificate.cert, EDGE_TLS_KEY: certificate.key, NODE_EXTRA_CA_CERTS: authority },
      ...{ UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${this.#restPort}`, UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN },
    });
    await this.#rest.prints(/"listening"/);
    await this.#edge.prints(/"listening"/);
  }
}
