import { join } from "node:path";
import { freePort } from "../../../dev/free-port.ts";
import type { Certificate } from "../peers/certificates.ts";
import { until } from "../until.ts";
import { Program } from "./program.ts";

/** What a test may choose. */
export interface StackProgramOptions {
  /** The folder of a release, or of this one. */
  readonly folder: string;
  /** Of the player port. */
  readonly certificate: Certificate;
  /** More of its environment: where it keeps sessions. */
  readonly variables?: Readonly<Record<string, string>>;
}

const PORTS = ["EDGE_PORT", "BRIDGE_PORT", "PLAYER_PORT", "METRICS_PORT", "CHECK_PORT", "REDIS_REST_PORT"] as const;

const START_MS = 300_000;

type Ports = Readonly<Record<(typeof PORTS)[number], number>>;

/** `npm start` of a release in a process of its own. Another release can take its place, at the same addresses and on the same data. */
export class StackProgram {
  readonly apiKey = "dev-key";
  readonly edgeUrl: string;
  readonly gamePort: number;
  readonly playerPort: number;
  readonly metricsUrl: string;
  readonly #variables: Readonly<Record<string, string>>;
  #program: Program;

  private constructor(ports: Ports, variables: Readonly<Record<string, string>>, program: Program) {
    this.edgeUrl = `http://127.0.0.1:${ports.EDGE_PORT}`;
    this.gamePort = ports.BRIDGE_PORT;
    this.playerPort = ports.PLAYER_PORT;
    this.metricsUrl = `http://127.0.0.1:${ports.METRICS_PORT}`;
    this.#variables = variables;
    this.#program = program;
  }

  static async start({ folder, certificate, variables }: StackProgramOptions): Promise<StackProgram> {
    const ports: Record<string, number> = {};
    for (const name of PORTS) ports[name] = await freePort();
    const environment = {
      ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
      ...{ PLAYER_TLS_CERT: certificate.cert, PLAYER_TLS_KEY: certificate.key },
      // The address of all callers is one, and they ask for sessions that are not there.
      BRIDGE_MAX_FAILURES_PER_MINUTE: "1000000000",
      ...variables,
    };
    return new StackProgram(ports as Ports, environment, await startIn(folder, environment));
  }

  /** What it has printed since it was last started. */
  get output(): string {
    return this.#program.output;
  }

  /** Stops it as Ctrl-C does, and starts that of another folder in its place. */
  async replaceBy(folder: string): Promise<void> {
    await this.stop();
    this.#program = await startIn(folder, this.#variables);
  }

  /** SIGTERM; resolves when it has drained and ended. A SIGKILL would leave its workerd behind. */
  async stop(): Promise<void> {
    this.#program.signal("SIGTERM");
    await this.#program.ended();
  }
}

async function startIn(folder: string, variables: Readonly<Record<string, string>>): Promise<Program> {
  const program = Program.node(join(folder, "dev/start.js"), [], variables);
  try {
    // On a small, shared machine the build alone may take half a minute.
    await until(() => !program.isRunning || /Artoria is running/.test(program.output), START_MS);
    if (!program.isRunning) throw new Error("it has ended");
    return program;
  } catch (error) {
    program.signal("SIGTERM");
    await program.ended();
    throw new Error(`npm start of ${folder} failed:\n${program.output}`, { cause: error });
  }
}
