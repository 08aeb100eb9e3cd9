import { join } from "node:path";
import { freePort } from "../../../dev/free-port.ts";
import type { Certificate } from "../peers/certificates.ts";
import { until } from "../until.ts";
import { Program } from "./program.ts";

/** What a test may choose. */
export interface BridgeProgramOptions {
  readonly edgeUrl: string;
  /** With it there is a player port. */
  readonly certificate?: Certificate;
  /** More of its environment. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Of Node, before the program's file. */
  readonly nodeArgs?: readonly string[];
  /** The folder of an earlier release; absent: this one. */
  readonly folder?: string;
}

/** A bridge in a process of its own, which can be killed and started again on the same ports. */
export class BridgeProgram {
  readonly gamePort: number;
  readonly playerPort: number;
  readonly metricsPort: number;
  readonly #nodeArgs: readonly string[];
  #folder: string;
  readonly #variables: Readonly<Record<string, string>>;
  #program: Program | undefined;

  private constructor(
    { edgeUrl, certificate, variables, nodeArgs = [], folder = "" }: BridgeProgramOptions,
    [gamePort, playerPort, metricsPort]: readonly [number, number, number],
  ) {
    this.gamePort = gamePort;
    this.playerPort = playerPort;
    this.metricsPort = metricsPort;
    this.#nodeArgs = nodeArgs;
    this.#folder = folder;
    this.#variables = {
      ...{ EDGE_URL: edgeUrl, API_KEY: "key", LOG_LEVEL: "warn" },
      ...{ BRIDGE_PORT: String(gamePort), METRICS_PORT: String(metricsPort) },
      ...(certificate && {
        ...{ PLAYER_PORT: String(playerPort), PLAYER_TLS_CERT: certificate.cert, PLAYER_TLS_KEY: certificate.key },
      }),
      ...variables,
    };
  }

  /** Chooses its ports; it is not started yet. */
  static async reserve(options: BridgeProgramOptions): Promise<BridgeProgram> {
    return new BridgeProgram(options, [await freePort(), await freePort(), await freePort()]);
  }

  /** Starts it in front of an edge and waits until it is ready. */
  static async start(options: BridgeProgramOptions): Promise<BridgeProgram> {
    const bridge = await BridgeProgram.reserve(options);
    bridge.start();
    try {
      await until(() => bridge.isReady());
    } catch (error) {
      await bridge.kill();
      throw new Error(`the bridge did not start: ${bridge.output}`, { cause: error });
    }
    return bridge;
  }

  start(): void {
    const main = join(this.#folder, "tcp-bridge/main.ts");
    this.#program = new Program(process.execPath, [...this.#nodeArgs, main], this.#variables);
  }

  /** Drains it, and starts that of another folder in its place. */
  async replaceBy(folder: string): Promise<void> {
    await this.drain();
    this.#folder = folder;
    this.start();
    await until(() => this.isReady());
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.metricsPort}/readyz`)).ok;
  }

  /** What it has printed since it was last started. */
  get output(): string {
    return this.#program?.output ?? "";
  }

  /** The value of a metric, over all its labels; 0 if it has none. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
    const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm"))];
    return samples.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  signal(name: NodeJS.Signals): void {
    this.#program?.signal(name);
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
