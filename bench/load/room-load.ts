import { ArtoriaMember } from "./artoria-member.ts";
import type { MemberEvents, RoomMember } from "./room-member.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";
import { SocketIoMember } from "./socket-io-member.ts";

/** The players of one room. */
export interface RoomJob {
  readonly kind: "bridge" | "edge" | "socket.io";
  readonly port: number;
  readonly ca?: string;
  readonly room: string;
  /** A player for each; Socket.IO's need none. */
  readonly tokens: readonly string[];
  /** Messages that are said and not yet heard by who said them, of all players together. */
  readonly inFlight: number;
}

const AT_ONCE = 25;

const job = loadJob<RoomJob>();
const members: RoomMember[] = [];
let delivered = 0;
let expected = 0;
let untilMs = 0;
let finished: (() => void) | undefined;

for (let from = 0; from < job.tokens.length; from += AT_ONCE) {
  const part = job.tokens.slice(from, from + AT_ONCE);
  members.push(...(await Promise.all(part.map((token, index) => open(token, from + index)))));
}

serveOrders(async (legUntilMs) => {
  untilMs = legUntilMs;
  delivered = 0;
  expected = 0;
  const done = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const speakers = members.slice(0, job.inFlight);
  for (const speaker of speakers) say(speaker, Math.floor(job.inFlight / speakers.length));
  await done;
  return { done: delivered };
});

function open(token: string, number: number): Promise<RoomMember> {
  const { kind, port, ca, room } = job;
  const events: MemberEvents = { delivered: (messages, own) => heard(number, messages, own) };
  const trust = ca === undefined ? {} : { ca };
  if (kind === "socket.io") return SocketIoMember.open({ port, room, number, ...trust }, events);
  return ArtoriaMember.open({ port, way: kind, token, room, ...trust }, events);
}

function heard(number: number, messages: number, own: number): void {
  delivered += messages;
  const speaker = members[number];
  if (own > 0 && speaker !== undefined && performance.now() < untilMs) say(speaker, own);
  // After the last message of a leg everybody must have heard everything.
  if (delivered === expected) finished?.();
  if (delivered > expected) throw new Error("more was delivered than was said");
}

function say(speaker: RoomMember, count: number): void {
  expected += count * members.length;
  speaker.speak(count);
}
