import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../dev/free-port.ts";
import { Program } from "../processes/program.ts";

/** What a test may choose; nothing is kept on disk and only loopback is listened to unless `args` say otherwise. */
export interface RedisServerOptions {
  /** A fixed port, to come back where an earlier server was; otherwise any free one. */
  readonly port?: number;
  /** More configuration, as on redis-server's command line: `["--replicaof", "127.0.0.1 7000"]`. */
  readonly args?: readonly string[];
  /** The configuration of a sentinel, which is then what starts: it needs a file that it may rewrite. */
  readonly sentinelConfig?: string;
}

export interface RedisServer {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** Sends a signal to this server: SIGKILL, SIGSTOP, SIGCONT. */
  signal(name: NodeJS.Signals): void;
  /** Resolves when the process has ended, whoever ended it. */
  readonly exited: Promise<void>;
  /** Ends the server, stopped or not, and removes its directory. Safe to call twice. */
  stop(): Promise<void>;
}

/** A sentinel is the same program in another mode. */
const PROGRAM = "redis-server";
const HOST = "127.0.0.1";
const START_ATTEMPTS = 5;
const STOP_GRACE_MS = 5_000;

/**
 * Starts a real redis-server on loopback in a directory of its own and resolves when it accepts connections.
 * A port that somebody took in the meantime is tried again with another. Throws when redis-server is not installed.
 */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const attempts = options.port === undefined ? START_ATTEMPTS : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(options, options.port ?? (await freePort()));
    } catch (error) {
      if (attempt >= attempts || !(error instanceof PortTaken)) throw error;
    }
  }
}

class PortTaken extends Error {}

async function startOnce(options: RedisServerOptions, port: number): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-redis-"));
  const modeArgs = ["--save", "", "--appendonly", "no"];
  if (options.sentinelConfig !== undefined) {
    const file = join(directory, "sentinel.conf");
    await writeFile(file, options.sentinelConfig);
    modeArgs.splice(0, modeArgs.length, file, "--sentinel");
  }
  const args = [...modeArgs, "--port", String(port), "--bind", HOST, "--dir", directory, ...(options.args ?? [])];
  const program = new Program(PROGRAM, args);
  const stop = async () => {
    await end(program);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await program.prints(/Ready to accept connections|Sentinel ID is/);
  } catch (error) {
    await stop();
    throw /Address already in use/.test(program.output) ? new PortTaken(program.output) : error;
  }
  return {
    url: `redis://${HOST}:${port}`,
    host: HOST,
    port,
    pid: program.pid,
    signal: (name) => program.signal(name),
    // Whoever waits for it does so for a bounded time.
    get exited() {
      return program.ended().then(() => undefined);
    },
    stop,
  };
}

async function end(program: Program): Promise<void> {
  if (!program.isRunning) return;
  program.signal("SIGCONT");
  program.signal("SIGTERM");
  const timer = setTimeout(() => program.signal("SIGKILL"), STOP_GRACE_MS);
  await program.ended();
  clearTimeout(timer);
}
