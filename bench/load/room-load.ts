import type { MemberEvents, RoomMember } from "./room-members.ts";
import { ArtoriaMember, SocketIoMember } from "./room-members.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** The players of one room. */
export interface RoomJob {
  readonly kind: "bridge" | "edge" | "socket.io";
  readonly port: number;
  readonly ca?: string;
  readonly room: string;
  /** A player for each; Socket.IO's need none. */
  readonly tokens: readonly string[];
  /** Messages that are published and not yet delivered to their publisher, of all players together. */
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
  const publishers = members.slice(0, job.inFlight);
  for (const publisher of publishers) publish(publisher, Math.floor(job.inFlight / publishers.length));
  await done;
  return { done: delivered };
});

function open(token: string, number: number): Promise<RoomMember> {
  const { kind, port, ca, room } = job;
  const events: MemberEvents = { delivered: (messages, own) => onDelivered(number, messages, own) };
  const trust = ca === undefined ? {} : { ca };
  if (kind === "socket.io") return SocketIoMember.open({ port, room, number, ...trust }, events);
  return ArtoriaMember.open({ port, way: kind, token, room, ...trust }, events);
}

function onDelivered(number: number, messages: number, own: number): void {
  delivered += messages;
  const publisher = members[number];
  if (own > 0 && publisher !== undefined && performance.now() < untilMs) publish(publisher, own);
  // A leg ends when every member has received every message.
  if (delivered === expected) finished?.();
  if (delivered > expected) throw new Error("more was delivered than was published");
}

function publish(publisher: RoomMember, count: number): void {
  expected += count * members.length;
  publisher.publish(count);
}
