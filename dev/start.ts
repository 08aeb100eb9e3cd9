import { oneLine } from "../config/log-line.ts";
import { onStopSignals } from "../config/stop-signals.ts";
import { checkParts, parseStackConfig, type StackConfig } from "./config.ts";
import { assertPortsFree } from "./free-port.ts";
import type { Stack } from "./stack.ts";

/**
 * The program of `npm start`: the whole stack in this process and its children, until SIGINT or SIGTERM. A second signal does not
 * wait for the drain.
 */
async function main(): Promise<void> {
  // Sessions and accounts are written to STATE_DIR, by this process and by workerd: for the owner alone.
  process.umask(0o077);
  const config = parseStackConfig(process.env);
  checkParts(config);
  await assertPortsFree(config);
  // workerd and esbuild end with this process.
  const exit = (exitCode: number): void => process.exit(exitCode);
  const forgetExit = onStopSignals(process, { first: exit, again: exit });
  // Loaded now, because it takes a second and a wrong variable or a taken port should be reported at once.
  const { startStack } = await import("./stack.ts");
  await startStack(config, {
    announce(stack) {
      forgetExit();
      for (const name of ["SIGINT", "SIGTERM"]) process.removeAllListeners(name);
      onStopSignals(process, { first: () => drain(stack), again: exit });
      stack.edge.ended.then((how) => {
        if (!stopping) fail(new Error(how));
      }, fail);
      process.stdout.write(banner(config, stack));
    },
  });
}

/** Whether workerd may end. */
let stopping = false;

function drain(stack: Stack): void {
  stopping = true;
  process.stdout.write("\nstopping; Ctrl-C again stops at once\n");
  stack.close().then(() => process.exit(0), fail);
}

/** What `npm start` prints once everything listens: the addresses, the store, the key, and what to try. */
function banner(config: StackConfig, stack: Stack): string {
  const game = `${stack.gameAddress.host}:${stack.gameAddress.port}`;
  const player = `${stack.playerAddress.host}:${stack.playerAddress.port}`;
  const options = game === "127.0.0.1:7000" ? "" : ` --host ${stack.gameAddress.host} --port ${stack.gameAddress.port}`;
  const playerOption = stack.playerAddress.port === 7001 ? "" : ` --player-port ${stack.playerAddress.port}`;
  const trust = `--fingerprint ${stack.playerFingerprint.replaceAll(":", "")}`;
  const chat = (user: string) =>
    `npm run -s artoria -- chat --room lobby --user ${user}${options}${playerOption} ${trust}`;
  const keyVariable = config.apiKey === "dev-key" ? "" : `API_KEY='${config.apiKey}' `;
  const edgeOption = stack.edgeUrl === "http://127.0.0.1:8787" ? "" : ` --edge ${stack.edgeUrl}`;
  const accounts = (command: string) => `${keyVariable}npm run -s artoria -- accounts ${command}${edgeOption}`;
  return `
Artoria is running. Ctrl-C stops all of it.

  edge (HTTP)          ${stack.edgeUrl}
  bridge (TCP)         ${game}
  players (TLS)        ${player}, certificate SHA-256:
                       ${stack.playerFingerprint}
  checks (HTTP)        ${stack.checkUrl}
  metrics, health      ${stack.metricsUrl}/metrics
  session store        ${storeText(config, stack)}
  API key              ${config.apiKey}

Try, in another terminal:

  # issue a session over HTTP
  curl -H 'Authorization: Bearer ${config.apiKey}' -H 'Content-Type: application/json' -d '{"user":"kim"}' ${stack.edgeUrl}/v1/sessions

  # ask the bridge about its token, as a proxy does: the second time it answers from memory (X-Check-Source: lease)
  curl -i -H 'Authorization: Bearer <token>' ${stack.checkUrl}

  # register session 7 and check it over TCP
  npm run -s artoria -- register 7 --user kim${options} && npm run -s artoria -- check 7${options}

  # be told which sessions end; then end session 7 in another terminal
  npm run -s artoria -- watch${options}
  npm run -s artoria -- delete 7 --user kim${options}

  # chat, each in a terminal of its own
  ${chat("kim")}
  ${chat("lee")}

  # sign up and chat in a browser
  ${stack.edgeUrl}/signup?return=/rooms/lobby

  # operate it in a browser: make an account, give it the grant, log in
  echo 'correct horse battery' | ${accounts("create ops")} && ${accounts("grant ops console:write")}
  ${stack.edgeUrl}/console

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
