import { once } from "node:events";
import { WebSocket } from "ws";
import { LeasedSessions } from "../../protocol/leases/leased-sessions.ts";
import { loadJob } from "./serve-orders.ts";

/** Bridges as the hub sees them: each holds a lease and acknowledges changes. They have no game servers. */
export interface LeasedBridgesJob {
  readonly edgePort: number;
  readonly apiKey: string;
  readonly bridges: number;
}

const LIMITS = { maxSessions: 1, maxBytes: 1024, maxKeepMs: 1_000 };

/** How often a bridge looks whether its lease must be renewed. */
const TICK_MS = 25;

const { edgePort, apiKey, bridges } = loadJob<LeasedBridgesJob>();
const all = await Promise.all(Array.from({ length: bridges }, connectBridge));
while (!all.every((sessions) => sessions.holdsLease(timeOf(sessions)))) {
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
process.on("disconnect", () => process.exit());
process.send?.("ready");

/** Connects to the hub as a bridge does, with the same machine. */
async function connectBridge(): Promise<LeasedSessions> {
  const socket = new WebSocket(`ws://127.0.0.1:${edgePort}/v1/leases`, {
    headers: { Authorization: `Bearer ${apiKey}` },
    perMessageDeflate: false,
  });
  const sessions = new LeasedSessions(LIMITS, {
    send: (frame) => socket.send(frame),
    close: (code, reason) => {
      throw new Error(`the bridge closed its connection to the hub: ${code} ${reason}`);
    },
    answers: () => ({ answered: 0, fromMemory: 0 }),
  });
  const early: Buffer[] = [];
  const keep = (frame: Buffer) => early.push(frame);
  socket.on("message", keep);
  socket.on("close", (code) => {
    throw new Error(`the hub closed the connection: ${code}`);
  });
  await once(socket, "open");
  sessions.connected(timeOf(sessions));
  socket.off("message", keep);
  for (const frame of early) sessions.received(frame, timeOf(sessions));
  socket.on("message", (frame: Buffer) => sessions.received(frame, timeOf(sessions)));
  setInterval(() => {
    const nowMs = timeOf(sessions);
    if (nowMs >= (sessions.deadlineMs ?? Number.POSITIVE_INFINITY)) sessions.tick(nowMs);
  }, TICK_MS);
  return sessions;
}

function timeOf(sessions: LeasedSessions): number {
  return sessions.timeAt(performance.now(), Date.now());
}
