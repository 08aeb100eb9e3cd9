import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";

/** A proxy from Debian's packages that listens on loopback. */
export interface ProxyProgram {
  readonly url: string;
  stop(): Promise<void>;
}

/** nginx with a part of an `http` block; `config` is given the port to listen on. */
export function startNginx(config: (port: number) => string): Promise<ProxyProgram> {
  return start("/usr/sbin/nginx", config, (directory, servers) => ({
    file: `daemon off; worker_processes 1; pid ${directory}/pid; error_log stderr crit;
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
  const env = { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory };
  const child = spawn(program, args(path), { stdio: ["ignore", "inherit", "inherit"], env });
  const exited = once(child, "exit");
  const killWithParent = () => void child.kill("SIGKILL");
  process.once("exit", killWithParent);
  const stop = async () => {
    process.off("exit", killWithParent);
    if (child.exitCode === null) child.kill("SIGTERM");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await Promise.race([
      eventually(() => accepts(port)),
      exited.then(() => Promise.reject(new Error(`${program} ended`))),
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
