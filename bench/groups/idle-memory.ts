import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";
import { type BenchGroup, type CaseTitle, measureFigures } from "../harness/bench-case.ts";
import { Cleanup, freePort, type NodeProgramOptions, privateBytes, startNode } from "../harness/processes.ts";
import { ArtoriaMember, type RoomMember, SocketIoMember } from "../load/room-members.ts";
import {
  type LoopbackCertificate,
  loopbackCertificate,
  NODE_OPTIONS,
  type Ours,
  startOurs,
  startPlayerBridge,
} from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startSocketIo } from "../peers/start-peers.ts";
import { issueTokens } from "./sessions.ts";

const CONNECTIONS = 1_000;
const AT_ONCE = 50;

/** How long a server's heap needs after the last connection. */
const HEAP_REST_MS = 500;

const BRIDGE = fileURLToPath(new URL("../../tcp-bridge/main.ts", import.meta.url));
const WS_SERVER = fileURLToPath(new URL("../peers/ws-server.ts", import.meta.url));

/** Memory of a connection that sends nothing. */
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
    return measureFigures(title, gamePortBytes, webSocketBytes, options).then((result) => [result]);
  },
};

async function gamePortBytes(): Promise<number> {
  const port = await freePort();
  const env = {
    BRIDGE_PORT: String(port),
    METRICS_PORT: String(await freePort()),
    // No packet reaches it.
    EDGE_URL: "http://127.0.0.1:1",
    API_KEY: "bench",
    BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: String(2 * CONNECTIONS),
    // The connections send nothing while they are measured.
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
    // The first connections make the server allocate what it keeps for all of them.
    await open(cleanup, dial, CONNECTIONS / 2);
    await wait(HEAP_REST_MS);
    const before = privateBytes(pid);
    await open(cleanup, dial, CONNECTIONS);
    await wait(HEAP_REST_MS);
    return (privateBytes(pid) - before) / CONNECTIONS;
  });
}

async function open(cleanup: Cleanup, dial: Dial, count: number): Promise<void> {
  for (let opened = 0; opened < count; opened += AT_ONCE) {
    for (const connection of await Promise.all(Array.from({ length: AT_ONCE }, dial))) cleanup.add(connection);
  }
}

const FIRST_PLAYERS = 200;
const PLAYERS = 500;
const PLAYERS_AT_ONCE = 25;

/** Few in each room, so that a join is broadcast to few. */
const ROOM_MEMBERS = 10;

/** No player publishes. */
const SILENT = { delivered() {} };

/** Memory of a player who is in a room and sends nothing, over TLS on both sides. */
export const idlePlayers: BenchGroup = {
  name: "player-memory",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const certificate = await loopbackCertificate();
      const worker = cleanup.addRemoval(await buildOurWorker());
      const ours = cleanup.add(await startOurs(worker));
      const tokens = await issueTokens(ours, FIRST_PLAYERS + PLAYERS);
      const title: CaseTitle = {
        group: "player-memory",
        name: "memory per idle player, player port",
        against: "Socket.IO over wss, connection state recovery",
        unit: "bytes",
        target: { op: "<=", value: 1 },
      };
      const measure = () => playerPortBytes(ours, certificate, tokens);
      return [await measureFigures(title, measure, () => socketIoBytes(certificate), options)];
    }),
};

function playerPortBytes(ours: Ours, certificate: LoopbackCertificate, tokens: readonly string[]): Promise<number> {
  return Cleanup.around(async (cleanup) => {
    const { playerPort: port, program } = await startPlayerBridge(ours, certificate);
    cleanup.add(program);
    const ca = certificate.cert;
    return bytesPerPlayer(cleanup, program.pid, (number) => {
      const token = tokens[number] ?? "";
      return ArtoriaMember.open({ port, way: "bridge", ca, token, room: roomOf(number) }, SILENT);
    });
  });
}

function socketIoBytes(certificate: LoopbackCertificate): Promise<number> {
  return Cleanup.around(async (cleanup) => {
    const { port, program } = await startSocketIo(certificate);
    cleanup.add(program);
    const ca = certificate.cert;
    return bytesPerPlayer(cleanup, program.pid, (number) =>
      SocketIoMember.open({ port, ca, room: roomOf(number), number }, SILENT),
    );
  });
}

function roomOf(number: number): string {
  return `idle-${Math.floor(number / ROOM_MEMBERS)}`;
}

async function bytesPerPlayer(cleanup: Cleanup, pid: number, open: (number: number) => Promise<RoomMember>) {
  // The first players make the server allocate what it keeps for all of them.
  await openAll(cleanup, 0, FIRST_PLAYERS, open);
  await wait(HEAP_REST_MS);
  const before = privateBytes(pid);
  await openAll(cleanup, FIRST_PLAYERS, FIRST_PLAYERS + PLAYERS, open);
  await wait(HEAP_REST_MS);
  return (privateBytes(pid) - before) / PLAYERS;
}

async function openAll(cleanup: Cleanup, from: number, to: number, open: (number: number) => Promise<RoomMember>) {
  for (let first = from; first < to; first += PLAYERS_AT_ONCE) {
    const opened = await Promise.all(Array.from({ length: PLAYERS_AT_ONCE }, (_, index) => open(first + index)));
    for (const member of opened) cleanup.add(member);
  }
}
