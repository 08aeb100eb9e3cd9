import { oneLine } from "../config/log-line.ts";
import { checkParts, parseStackConfig, type StackConfig } from "./config.ts";
import type { Stack } from "./stack.ts";

/** The program of `npm start`: the whole stack in this process and its children, until SIGINT or SIGTERM. */
async function main(): Promise<void> {
  // Sessions and accounts are written to STATE_DIR, by this process and by workerd: for the owner alone.
  process.umask(0o077);
  const config = parseStackConfig(process.env);
  checkParts(config);
  const signals = new StopSignals();
  // Loaded now, because it takes a second and a wrong variable should be reported at once.
  const { startStack } = await import("./stack.ts");
  await startStack(config, {
    announce(stack) {
      signals.drainOnFirst(stack);
      process.stdout.write(banner(config, stack));
    },
  });
}

/** npm passes on the SIGINT that the terminal has already sent to every process: both are one Ctrl-C. */
const ONE_KEYPRESS_MS = 500;

/**
 * Ends the program at SIGINT and SIGTERM. The first signal drains the stack; another one, or one during the start, ends the
 * process at once. Miniflare's exit hook then kills workerd, and esbuild ends when its standard input closes.
 */
class StopSignals {
  #stack: Stack | undefined;
  #firstAtMs: number | undefined;

  constructor() {
    this.#listen();
  }

  drainOnFirst(stack: Stack): void {
    this.#stack = stack;
    // Miniflare's listeners would end the process at the first signal.
    for (const { name } of STOP_SIGNALS) process.removeAllListeners(name);
    this.#listen();
  }

  #listen(): void {
    for (const { name, exitCode } of STOP_SIGNALS) process.on(name, () => this.#stop(exitCode));
  }

  #stop(exitCode: number): void {
    const nowMs = performance.now();
    if (this.#firstAtMs !== undefined && nowMs - this.#firstAtMs < ONE_KEYPRESS_MS) return;
    if (this.#stack === undefined || this.#firstAtMs !== undefined) process.exit(exitCode);
    this.#firstAtMs = nowMs;
    process.stdout.write("\nstopping; Ctrl-C again stops at once\n");
    this.#stack.close().then(() => process.exit(0), fail);
  }
}

/** A process that a signal ends has the exit code 128 + the signal's number. */
const STOP_SIGNALS = [
  { name: "SIGINT", exitCode: 128 + 2 },
  { name: "SIGTERM", exitCode: 128 + 15 },
] as const;

/** What `npm start` prints once everything listens: the addresses, the store, the key, and what to try. */
function banner(config: StackConfig, stack: Stack): string {
  const game = `${stack.gameAddress.host}:${stack.gameAddress.port}`;
  const player = `${stack.playerAddress.host}:${stack.playerAddress.port}`;
  const options = game === "127.0.0.1:7000" ? "" : ` --host ${stack.gameAddress.host} --port ${stack.gameAddress.port}`;
  const playerOption = stack.playerAddress.port === 7001 ? "" : ` --player-port ${stack.playerAddress.port}`;
  const trust = `--fingerprint ${stack.playerFingerprint.replaceAll(":", "")}`;
  const chat = (user: string) =>
    `npm run -s artoria -- chat --room lobby --user ${user}${options}${playerOption} ${trust}`;
  return `
Artoria is running. Ctrl-C stops all of it.

  edge (HTTP)          ${stack.edgeUrl}
  bridge (TCP)         ${game}
  players (TLS)        ${player}, certificate SHA-256:
                       ${stack.playerFingerprint}
  metrics, health      ${stack.metricsUrl}/metrics
  session store        ${storeText(config, stack)}
  API key              ${config.apiKey}

Try, in another terminal:

  # issue a session over HTTP
  curl -H 'Authorization: Bearer ${config.apiKey}' -H 'Content-Type: application/json' -d '{"user":"kim"}' ${stack.edgeUrl}/v1/sessions

  # register session 7 and check it over TCP
  npm run -s artoria -- register 7 --user kim${options} && npm run -s artoria -- check 7${options}

  # chat, each in a terminal of its own
  ${chat("kim")}
  ${chat("lee")}

  # sign up and chat in a browser
  ${stack.edgeUrl}/signup?return=/rooms/lobby

  # read the API's documentation
  ${stack.edgeUrl}/docs

`;
}

function storeText(config: StackConfig, stack: Stack): string {
  if (stack.redisRestUrl !== undefined) return `Redis, through redis-rest at ${stack.redisRestUrl}`;
  return config.stateDir === undefined
    ? "embedded, nothing is kept after the stop (STATE_DIR keeps it)"
    : `embedded, kept in ${config.stateDir}`;
}

function fail(error: unknown): void {
  process.stderr.write(`npm start: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  process.exit(1);
}

// Node would print the message as it is, and its line breaks with it.
process.on("uncaughtException", fail);
main().catch(fail);
