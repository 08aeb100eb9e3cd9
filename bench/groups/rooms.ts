import type { BenchGroup, BenchOptions, CaseTitle } from "../harness/bench-case.ts";
import { measureRates } from "../harness/bench-case.ts";
import { LoadDriver } from "../harness/load-driver.ts";
import type { Program } from "../harness/processes.ts";
import { Cleanup } from "../harness/processes.ts";
import type { RoomJob } from "../load/room-load.ts";
import { loopbackCertificate, startOurs, startPlayerBridge } from "../ours/start-ours.ts";
import { buildOurWorker } from "../ours/start-worker.ts";
import { startSocketIo } from "../peers/start-peers.ts";
import type { CaseResult } from "../report/results.ts";
import { issueTokens } from "./sessions.ts";

/** Messages in flight of all players together: enough that neither side waits for the players. */
const IN_FLIGHT = 400;

/** Two members share nothing: that case shows the least cost of a room, and has no target. */
const SIZES = [
  { members: 2, least: 0 },
  { members: 100, least: 1 },
  { members: 500, least: 1 },
] as const;

const BRIDGE_MEMBERS = 100;

/** One of two players publishes 30,000 messages a second here: the room is measured, not the budget of a member. */
const NO_BUDGET = {
  ROOM_MESSAGES_PER_SECOND: "1000000000",
  ROOM_MESSAGE_BURST: "1000000000",
  ROOM_BYTES_PER_SECOND: "1000000000",
  ROOM_BYTE_BURST: "1000000000",
  ROOM_PACKETS_PER_SECOND: "1000000000",
  ROOM_PACKET_BURST: "1000000000",
};

/** Messages published to a room and delivered to each of its members, by WebSocket on both sides. */
export const rooms: BenchGroup = {
  name: "rooms",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const worker = cleanup.addRemoval(await buildOurWorker());
      const ours = cleanup.add(await startOurs(worker, { edge: NO_BUDGET }));
      const peer = await startSocketIo();
      cleanup.add(peer.program);
      const tokens = await issueTokens(ours, Math.max(...SIZES.map(({ members }) => members)));
      const results: CaseResult[] = [];
      for (const { members, least } of SIZES) {
        const title = {
          group: "rooms",
          name: `room deliveries, ${members} members`,
          against: "Socket.IO, connection state recovery, WebSocket",
          unit: "deliveries/s",
          target: { op: ">=", value: least },
        } as const;
        const job = { room: `bench-${members}`, tokens: tokens.slice(0, members), inFlight: IN_FLIGHT };
        const a = { job: { ...job, kind: "edge", port: ours.edgePort }, programs: ours.programs } as const;
        const b = { job: { ...job, kind: "socket.io", port: peer.port }, programs: [peer.program] } as const;
        results.push(await compare(title, a, b, options));
      }
      return results;
    }),
};

/** The same over TLS: our players connect to a bridge by TCP. */
export const bridgeRooms: BenchGroup = {
  name: "bridge-rooms",
  run: (options) =>
    Cleanup.around(async (cleanup) => {
      const certificate = await loopbackCertificate();
      const worker = cleanup.addRemoval(await buildOurWorker());
      const ours = cleanup.add(await startOurs(worker, { edge: NO_BUDGET }));
      const bridge = await startPlayerBridge(ours, certificate);
      cleanup.add(bridge.program);
      const peer = await startSocketIo(certificate);
      cleanup.add(peer.program);
      const tokens = await issueTokens(ours, BRIDGE_MEMBERS);
      const title = {
        group: "bridge-rooms",
        name: `room deliveries over TLS, ${BRIDGE_MEMBERS} members`,
        against: "Socket.IO over wss, connection state recovery",
        unit: "deliveries/s",
        target: { op: ">=", value: 1 },
      } as const;
      const job = { room: "bench-tls", tokens, inFlight: IN_FLIGHT, ca: certificate.cert };
      const a = {
        job: { ...job, kind: "bridge", port: bridge.playerPort },
        programs: [...ours.programs, bridge.program],
      } as const;
      const b = { job: { ...job, kind: "socket.io", port: peer.port }, programs: [peer.program] } as const;
      return [await compare(title, a, b, options)];
    }),
};

interface Side {
  readonly job: RoomJob;
  readonly programs: readonly Program[];
}

async function compare(title: CaseTitle, ours: Side, peer: Side, options: BenchOptions): Promise<CaseResult> {
  options.progress(`${title.name}: ${ours.job.tokens.length} players enter on both sides`);
  const loads: LoadDriver[] = [];
  try {
    for (const { job, programs } of [ours, peer]) loads.push(await LoadDriver.start("room-load.ts", job, programs));
    const [a, b] = loads;
    if (a === undefined || b === undefined) throw new Error("two loads were started");
    return await measureRates(title, a, b, options);
  } finally {
    for (const load of loads) await load.stop();
  }
}
