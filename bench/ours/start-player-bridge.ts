import { fileURLToPath } from "node:url";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import type { LoopbackCertificate } from "./loopback-certificate.ts";
import { NODE_OPTIONS, type Ours } from "./start-ours.ts";

const BRIDGE = fileURLToPath(new URL("../../tcp-bridge/main.ts", import.meta.url));

/** All players of a measurement come from one address. */
const MAX_PLAYERS = 10_000;

export interface RunningPlayerBridge {
  readonly playerPort: number;
  readonly program: Program;
}

/** A bridge with a player port, in front of the same edge as the rest. */
export async function startPlayerBridge(ours: Ours, { cert, key }: LoopbackCertificate): Promise<RunningPlayerBridge> {
  const playerPort = await freePort();
  const env = {
    EDGE_URL: `http://127.0.0.1:${ours.edgePort}`,
    API_KEY: ours.apiKey,
    BRIDGE_PORT: String(await freePort()),
    METRICS_PORT: String(await freePort()),
    PLAYER_HOST: "127.0.0.1",
    PLAYER_PORT: String(playerPort),
    PLAYER_TLS_CERT: cert,
    PLAYER_TLS_KEY: key,
    PLAYER_MAX_CONNECTIONS_PER_ADDRESS: String(MAX_PLAYERS),
    LOG_LEVEL: "error",
  };
  return {
    playerPort,
    program: await startNode({ name: "player bridge", file: BRIDGE, port: playerPort, env, nodeOptions: NODE_OPTIONS }),
  };
}
