import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { BridgeProgram } from "./bridge-program.ts";
import { ChildProgram } from "./child-program.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";

/** HAProxy as deploy/haproxy has it, in front of two bridges, with a socket to give it orders. */
export class Haproxy {
  readonly port: number;
  readonly #program: ChildProgram;
  readonly #directory: string;

  private constructor(port: number, program: ChildProgram, directory: string) {
    this.port = port;
    this.#program = program;
    this.#directory = directory;
  }

  static async start([first, second]: readonly [BridgeProgram, BridgeProgram]): Promise<Haproxy> {
    const directory = await mkdtemp(join(tmpdir(), "artoria-haproxy-"));
    const admin = join(directory, "admin.cfg");
    await writeFile(admin, `global\n  stats socket ${join(directory, "socket")} level admin\n`);
    const port = await freePort();
    const program = new ChildProgram("haproxy", ["-db", "-f", "deploy/haproxy/haproxy.cfg", "-f", admin], {
      PLAYERS: `127.0.0.1:${port}`,
      BRIDGE_1: `127.0.0.1:${first.playerPort}`,
      BRIDGE_1_HEALTH: String(first.metricsPort),
      BRIDGE_2: `127.0.0.1:${second.playerPort}`,
      BRIDGE_2_HEALTH: String(second.metricsPort),
    });
    const haproxy = new Haproxy(port, program, directory);
    try {
      await eventually(() => haproxy.connections());
    } catch (error) {
      await haproxy.stop();
      throw new Error(`haproxy did not start: ${program.output}`, { cause: error });
    }
    return haproxy;
  }

  /** The ids of the players' connections. */
  async connections(): Promise<string[]> {
    const lines = (await this.#order("show sess")).split("\n");
    return lines.filter((line) => line.includes(" fe=players ")).map((line) => line.slice(0, line.indexOf(":")));
  }

  /** Cuts connections, both halves of each. */
  async cut(connections: readonly string[]): Promise<void> {
    if (connections.length > 0) await this.#order(connections.map((id) => `shutdown session ${id}`).join(";"));
  }

  async stop(): Promise<void> {
    await this.#program.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #order(command: string): Promise<string> {
    const socket = connect(join(this.#directory, "socket"));
    await once(socket, "connect");
    socket.end(`${command}\n`);
    return text(socket);
  }
}
