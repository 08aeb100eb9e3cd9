import { setTimeout as wait } from "node:timers/promises";
import {
  artoriaPlayer,
  CuttableProxy,
  type PlayerOptions,
  type ResumingPlayer,
  socketIoPlayer,
} from "./resuming-player.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** Players of one room whose connections are cut. */
export interface ResumeJob {
  readonly kind: "edge" | "socket.io";
  readonly port: number;
  readonly room: string;
  /** A player for each; Socket.IO's need none. */
  readonly tokens: readonly string[];
  /** For Socket.IO: instead of its default delay before it connects again. */
  readonly delayMs?: number;
}

interface Seat {
  greeted: boolean;
  readonly proxy: CuttableProxy;
  readonly player: ResumingPlayer;
  /** What it must receive to have caught up. */
  missed: string | undefined;
  caughtUp: () => void;
}

/** Between the cuts of one round: a failing network does not take all connections in one instant. */
const BETWEEN_CUTS_MS = 5;

/** Between two rounds, so that each finds a calm room. */
const CALM_MS = 100;

const RESUME_LIMIT_MS = 20_000;
const POLL_MS = 10;
const GREETING = "hello";

const job = loadJob<ResumeJob>();
// It stays connected, and publishes what the others miss.
const publisher = openPlayer(job.tokens[0] ?? "", { port: job.port, room: job.room, received() {}, changed() {} });
const seats = await Promise.all(job.tokens.slice(1).map(openSeat));
let said = 0;
while (![publisher, ...seats.map(({ player }) => player)].every(({ isEstablished }) => isEstablished))
  await wait(POLL_MS);
// Socket.IO recovers only a connection that has received something.
publisher.publish(GREETING);
while (!seats.every(({ greeted }) => greeted)) await wait(POLL_MS);

serveOrders(async (untilMs) => {
  const latenciesMs: number[] = [];
  do {
    const resumes: Promise<number>[] = [];
    for (const seat of seats) {
      resumes.push(cut(seat));
      await wait(BETWEEN_CUTS_MS);
    }
    latenciesMs.push(...(await Promise.all(resumes)));
    await wait(CALM_MS);
  } while (performance.now() < untilMs);
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  return { done: latenciesMs.length, latencyMs: { p50: at(0.5), p99: at(0.99) } };
});

/** Cuts a player and publishes a message that it misses; resolves with the ms until it is back and has received it. */
async function cut(seat: Seat): Promise<number> {
  const startMs = performance.now();
  const text = `missed ${++said}`;
  const caughtUp = new Promise<void>((resolve) => {
    seat.caughtUp = resolve;
  });
  seat.missed = text;
  seat.proxy.cut();
  publisher.publish(text);
  const limit = setTimeout(() => {
    throw new Error("a player did not come back");
  }, RESUME_LIMIT_MS);
  await caughtUp;
  clearTimeout(limit);
  return performance.now() - startMs;
}

async function openSeat(token: string): Promise<Seat> {
  const proxy = await CuttableProxy.open(job.port);
  let receivedMissed = false;
  const reportCaughtUp = () => {
    if (!receivedMissed || !seat.player.isEstablished) return;
    receivedMissed = false;
    seat.caughtUp();
  };
  const received = (text: string) => {
    if (text === GREETING) seat.greeted = true;
    if (text !== seat.missed) return;
    receivedMissed = true;
    reportCaughtUp();
  };
  const player = openPlayer(token, { port: proxy.port, room: job.room, received, changed: reportCaughtUp });
  const seat: Seat = { greeted: false, proxy, player, missed: undefined, caughtUp() {} };
  return seat;
}

function openPlayer(token: string, options: PlayerOptions): ResumingPlayer {
  return job.kind === "edge" ? artoriaPlayer(options, token) : socketIoPlayer(options, job.delayMs);
}
