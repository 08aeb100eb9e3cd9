import { setTimeout as wait } from "node:timers/promises";
import type { BenchGroup, CaseTitle } from "../harness/bench-case.ts";
import { Cleanup } from "../harness/cleanup.ts";
import { measureFigures } from "../harness/measure-pairs.ts";
import { privateBytes } from "../harness/process-usage.ts";
import { ArtoriaMember } from "../load/artoria-member.ts";
import type { RoomMember } from "../load/room-member.ts";
import { SocketIoMember } from "../load/socket-io-member.ts";
import { type LoopbackCertificate, loopbackCertificate } from "../ours/loopback-certificate.ts";
import { type Ours, startOurs } from "../ours/start-ours.ts";
import { startPlayerBridge } from "../ours/start-player-bridge.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startSocketIo } from "../peers/start-socket-io.ts";
import { issueTokens } from "./issue-tokens.ts";

const FIRST_PLAYERS = 200;
const PLAYERS = 500;
const AT_ONCE = 25;

/** Few in each room, so that who comes is no news to many. */
const ROOM_MEMBERS = 10;

/** Until a server's heap has settled after the last connection. */
const SETTLE_MS = 500;

/** Nobody says anything. */
const SILENT = { delivered() {} };

/** What a player takes who is in a room and says nothing, TLS on both sides. */
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
      const measure = () => bridgeBytes(ours, certificate, tokens);
      return [await measureFigures(title, measure, () => socketIoBytes(certificate), options)];
    }),
};

function bridgeBytes(ours: Ours, certificate: LoopbackCertificate, tokens: readonly string[]): Promise<number> {
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
  // What the first players bring along stays: it is not theirs.
  await openAll(cleanup, 0, FIRST_PLAYERS, open);
  await wait(SETTLE_MS);
  const before = privateBytes(pid);
  await openAll(cleanup, FIRST_PLAYERS, FIRST_PLAYERS + PLAYERS, open);
  await wait(SETTLE_MS);
  return (privateBytes(pid) - before) / PLAYERS;
}

async function openAll(cleanup: Cleanup, from: number, to: number, open: (number: number) => Promise<RoomMember>) {
  for (let first = from; first < to; first += AT_ONCE) {
    const opened = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => open(first + index)));
    for (const member of opened) cleanup.add(member);
  }
}
