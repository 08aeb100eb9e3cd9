import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";
import type { BenchGroup } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/cleanup.ts";
import { freePort } from "../harness/free-port.ts";
import { measureFigures } from "../harness/measure-pairs.ts";
import { privateBytes } from "../harness/process-usage.ts";
import { type NodeProgramOptions, startNode } from "../harness/program.ts";
import { NODE_OPTIONS } from "../ours/start-ours.ts";

const CONNECTIONS = 1_000;
const AT_ONCE = 50;

/** Until a server's heap has settled after the last connection. */
const SETTLE_MS = 500;

const BRIDGE = fileURLToPath(new URL("../../tcp-bridge/main.ts", import.meta.url));
const WS_SERVER = fileURLToPath(new URL("../peers/ws-server.ts", import.meta.url));

/** What a connection takes that says nothing. */
export const idleMemory: BenchGroup = {
  name: "memory",
  run: (options) => {
    const title = {
      group: "memory",
      name: "memory per idle connection, game port",
      against: "a WebSocket server (ws, without compression)",
      unit: "bytes",
      target: { op: "<=", value: 1 },
    } as const;
    return measureFigures(title, bridgeBytes, webSocketBytes, options).then((result) => [result]);
  },
};

async function bridgeBytes(): Promise<number> {
  const port = await freePort();
  const env = {
    BRIDGE_PORT: String(port),
    METRICS_PORT: String(await freePort()),
    // Nobody asks it anything.
    EDGE_URL: "http://127.0.0.1:1",
    API_KEY: "bench",
    BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: String(2 * CONNECTIONS),
    // They say nothing for as long as is measured.
    BRIDGE_FIRST_BYTE_MS: "3600000",
    LOG_LEVEL: "error",
  };
  const program = { name: "bridge", file: BRIDGE, port, env, nodeOptions: NODE_OPTIONS };
  return bytesPerConnection(program, async () => {
    const socket: Socket = connect({ host: "127.0.0.1", port });
    await once(socket, "connect");
    return { stop: async () => void socket.destroy() };
  });
}

async function webSocketBytes(): Promise<number> {
  const port = await freePort();
  return bytesPerConnection({ name: "ws", file: WS_SERVER, port, env: { PORT: String(port) } }, async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    await once(socket, "open");
    return { stop: async () => socket.terminate() };
  });
}

type Dial = () => Promise<{ stop(): Promise<void> }>;

function bytesPerConnection(program: NodeProgramOptions, dial: Dial): Promise<number> {
  return Cleanup.around(async (cleanup) => {
    const { pid } = cleanup.add(await startNode(program));
    // What the first connections bring along stays: it is not theirs.
    await open(cleanup, dial, CONNECTIONS / 2);
    await wait(SETTLE_MS);
    const before = privateBytes(pid);
    await open(cleanup, dial, CONNECTIONS);
    await wait(SETTLE_MS);
    return (privateBytes(pid) - before) / CONNECTIONS;
  });
}

async function open(cleanup: Cleanup, dial: Dial, count: number): Promise<void> {
  for (let opened = 0; opened < count; opened += AT_ONCE) {
    for (const connection of await Promise.all(Array.from({ length: AT_ONCE }, dial))) cleanup.add(connection);
  }
}
