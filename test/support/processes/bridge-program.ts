import { freePort } from "../../../dev/free-port.ts";
import type { Certificate } from "../peers/certificates.ts";
import { until } from "../until.ts";
import { Program } from "./program.ts";

/** A bridge in a process of its own, which can be killed and started again on the same ports. */
export class BridgeProgram {
  readonly playerPort: number;
  readonly metricsPort: number;
  readonly #variables: Readonly<Record<string, string>>;
  #program: Program | undefined;

  private constructor(playerPort: number, metricsPort: number, variables: Readonly<Record<string, string>>) {
    this.playerPort = playerPort;
    this.metricsPort = metricsPort;
    this.#variables = variables;
  }

  /** Starts it in front of an edge and waits until it is ready. */
  static async start(edgeUrl: string, { cert, key }: Certificate): Promise<BridgeProgram> {
    const [playerPort, metricsPort] = [await freePort(), await freePort()];
    const bridge = new BridgeProgram(playerPort, metricsPort, {
      ...{ EDGE_URL: edgeUrl, API_KEY: "key", PLAYER_TLS_CERT: cert, PLAYER_TLS_KEY: key, LOG_LEVEL: "warn" },
      ...{ BRIDGE_PORT: "0", PLAYER_PORT: String(playerPort), METRICS_PORT: String(metricsPort) },
    });
    bridge.start();
    try {
      await until(() => bridge.isReady());
    } catch (error) {
      await bridge.kill();
      throw new Error(`the bridge did not start: ${bridge.#program?.output}`, { cause: error });
    }
    return bridge;
  }

  start(): void {
    this.#program = Program.node("tcp-bridge/main.ts", [], this.#variables);
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.metricsPort}/readyz`)).ok;
  }

  /** SIGKILL: whatever it was doing. */
  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  /** SIGTERM; resolves with its exit code when it has drained and ended. */
  async drain(): Promise<number | null | undefined> {
    this.#program?.signal("SIGTERM");
    return await this.#program?.ended();
  }
}
