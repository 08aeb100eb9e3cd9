import type { StackConfig } from "./config.ts";
import type { Stack } from "./stack.ts";

/** What `npm start` prints once everything listens: the addresses, the store, the key, and what to try. */
export function banner(config: StackConfig, stack: Stack): string {
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
