import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { freePort } from "../../../dev/free-port.ts";
import { until } from "../until.ts";
import type { BridgeProgram } from "./bridge-program.ts";
import { Program } from "./program.ts";

/** A proxy from Debian's packages that listens on loopback. */
export interface ProxyProgram {
  readonly url: string;
  stop(): Promise<void>;
}

/** nginx with a part of an `http` block; `config` is given the port to listen on. */
export function startNginx(config: (port: number) => string): Promise<ProxyProgram> {
  return start("/usr/sbin/nginx", config, (directory, servers) => ({
    file: `daemon off; master_process off; pid ${directory}/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join("\n  ")}
${servers}
}`,
    args: (file) => ["-p", directory, "-c", file, "-e", "stderr"],
  }));
}

const CADDY_OPTIONS = "\tadmin off\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}";

/** Caddy with a Caddyfile; `config` is given the port to listen on. */
export function startCaddy(config: (port: number) => string): Promise<ProxyProgram> {
  return start("/usr/bin/caddy", config, (_, sites) => ({
    // The sites may begin with global options of their own.
    file: /^\{$/m.test(sites) ? sites.replace(/^\{$/m, `{\n${CADDY_OPTIONS}`) : `{\n${CADDY_OPTIONS}\n}\n${sites}`,
    args: (file) => ["run", "--config", file, "--adapter", "caddyfile"],
  }));
}

interface Launch {
  readonly file: string;
  args(file: string): string[];
}

async function start(
  program: string,
  config: (port: number) => string,
  launch: (directory: string, config: string) => Launch,
): Promise<ProxyProgram> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-proxy-"));
  const port = await freePort();
  const { file, args } = launch(directory, config(port));
  const path = join(directory, "config");
  await writeFile(path, file);
  const running = new Program(program, args(path), {
    HOME: directory,
    XDG_DATA_HOME: directory,
    XDG_CONFIG_HOME: directory,
  });
  const stop = async () => {
    running.signal("SIGTERM");
    await running.ended();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await Promise.race([
      until(() => accepts(port)),
      running.ended().then(() => Promise.reject(new Error(`${program} ended:\n${running.output}`))),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, stop };
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}

/** HAProxy as deploy/haproxy has it, with a socket to give it orders. */
export class Haproxy {
  /** For players. */
  readonly port: number;
  readonly #program: Program;
  readonly #directory: string;

  private constructor(port: number, program: Program, directory: string) {
    this.port = port;
    this.#program = program;
    this.#directory = directory;
  }

  /** Starts it in front of the player ports of two bridges; `more` of its variables are for its other parts. */
  static async start(bridges: readonly BridgeProgram[], more: Readonly<Record<string, string>> = {}): Promise<Haproxy> {
    const directory = await mkdtemp(join(tmpdir(), "artoria-haproxy-"));
    const admin = join(directory, "admin.cfg");
    await writeFile(admin, `global\n  stats socket ${join(directory, "socket")} level admin\n`);
    const port = await freePort();
    const variables: Record<string, string> = { PLAYERS: `127.0.0.1:${port}`, ...more };
    bridges.forEach(({ playerPort, metricsPort }, index) => {
      variables[`BRIDGE_${index + 1}`] = `127.0.0.1:${playerPort}`;
      variables[`BRIDGE_${index + 1}_HEALTH`] = String(metricsPort);
    });
    const program = new Program("haproxy", ["-db", "-f", "deploy/haproxy/haproxy.cfg", "-f", admin], variables);
    const haproxy = new Haproxy(port, program, directory);
    try {
      await Promise.race([
        until(() => haproxy.connections()),
        program.ended().then((code) => Promise.reject(new Error(`it ended with ${code}`))),
      ]);
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

  /** Whether it sends clients to a server, by its name in haproxy.cfg, in each backend that has it. */
  async isUp(server: string): Promise<boolean> {
    const [header = "", ...lines] = (await this.#order("show stat")).split("\n");
    const names = header.replace(/^# /, "").split(",");
    const rows = lines.map((line) => line.split(",")).filter((row) => row[names.indexOf("svname")] === server);
    return rows.length > 0 && rows.every((row) => row[names.indexOf("status")] === "UP");
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
