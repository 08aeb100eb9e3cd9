import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { Presence } from "../../../protocol/player-packets.ts";
import { findDeliveryFaults } from "./find-delivery-faults.ts";
import type { SimulatedPlayer } from "./simulated-player.ts";
import type { Chronicle, SimulatedRoom } from "./simulated-room.ts";

/** Compares the players' events with what really happened: every difference is a fault. */
export function findFaults(room: SimulatedRoom, players: readonly SimulatedPlayer[], keepsNeeded: boolean): string[] {
  return [
    ...room.chronicles.flatMap(findPresenceFaults),
    ...findGhosts(room, players),
    ...players.flatMap((player) => [
      ...findDeliveryFaults(player, room.chronicles, keepsNeeded),
      ...findBudgetFaults(player),
      ...findSendFaults(player, room.chronicles),
      ...findHandoverFaults(player),
      ...findEndFaults(player, players),
    ]),
  ];
}

/** Each member joins once, is held and resumed in turn, and leaves once. */
function findPresenceFaults({ entries, epoch }: Chronicle): string[] {
  const states = new Map<number, Presence>();
  const faults: string[] = [];
  for (const entry of entries) {
    if (entry.kind !== "presence") continue;
    const { member, state } = entry;
    const before = states.get(member);
    const allowed: Record<Presence, boolean> = {
      [Presence.Joined]: before === undefined,
      [Presence.Held]: before === Presence.Joined || before === Presence.Resumed,
      [Presence.Resumed]: before === Presence.Held,
      [Presence.Left]: before !== undefined && before !== Presence.Left,
    };
    if (!allowed[state]) faults.push(`epoch ${epoch}: member ${member} goes from presence ${before} to ${state}`);
    states.set(member, state);
  }
  return faults;
}

/** In the end exactly the players that want to be in the room are there, each on one connection. */
function findGhosts(room: SimulatedRoom, players: readonly SimulatedPlayer[]): string[] {
  const present = players.filter(({ closed }) => closed === undefined).map(({ machine }) => machine.member);
  const members = room.memberNumbers;
  return [
    ...members.filter((member) => !present.includes(member)).map((member) => `member ${member} is a ghost`),
    ...present.filter((member) => !members.includes(member)).map((member) => `member ${member} was forgotten`),
    ...players
      .filter(({ closed, openPaths }) => openPaths !== (closed === undefined ? 1 : 0))
      .map(({ name, openPaths }) => `${name}: has ${openPaths} connections open`),
  ];
}

/** An acked message is in the log once, an unacked or waiting one at most once, and their order is kept. */
function findSendFaults(player: SimulatedPlayer, chronicles: readonly Chronicle[]): string[] {
  const faults: string[] = [];
  const unacked = new Set<number>();
  const acked = new Set<number>();
  for (const event of player.events) {
    if (event.kind === "acked") {
      for (const { id } of player.sent) if (id <= event.id && !unacked.has(id)) acked.add(id);
    } else if ("unacked" in event) {
      for (const { id } of event.unacked) {
        if (acked.has(id) || unacked.has(id)) faults.push(`${player.name}: ${id} is unacked after all`);
        unacked.add(id);
      }
    }
  }
  const idOfText = new Map(player.sent.map(({ id, text }) => [text, id]));
  const counts = new Map<number, number>();
  let last = 0;
  for (const entry of chronicles.flatMap(({ entries }) => entries)) {
    const id = entry.kind === "message" ? idOfText.get(Buffer.from(entry.body).toString()) : undefined;
    if (id === undefined) continue;
    counts.set(id, (counts.get(id) ?? 0) + 1);
    if (id <= last) faults.push(`${player.name}: ${id} is in the log after ${last}`);
    last = id;
  }
  for (const { id } of player.sent) {
    const count = counts.get(id) ?? 0;
    if (count > 1) faults.push(`${player.name}: ${id} is in the log ${count} times`);
    if (acked.has(id) && count !== 1) faults.push(`${player.name}: ${id} is acked, and in the log ${count} times`);
    if (!acked.has(id) && !unacked.has(id)) faults.push(`${player.name}: nobody says what became of ${id}`);
  }
  return faults;
}

/** A player that keeps to its window is slowed down by Acks only. */
function findBudgetFaults({ name, events }: SimulatedPlayer): string[] {
  const closed = events.some((event) => event.kind === "interrupted" && event.code === ClosedCode.TooFast);
  return closed ? [`${name}: closed as too fast`] : [];
}

/** Each handover begins, and then ends or fails, before the next. */
function findHandoverFaults({ name, events }: SimulatedPlayer): string[] {
  const faults: string[] = [];
  let open = false;
  for (const { kind } of events) {
    if (kind === "handoverBegin" && open) faults.push(`${name}: a handover begins twice`);
    if ((kind === "handoverEnd" || kind === "handoverFailed") && !open) faults.push(`${name}: ${kind} without a begin`);
    if (kind === "handoverBegin") open = true;
    if (kind === "handoverEnd" || kind === "handoverFailed" || kind === "closed") open = false;
  }
  if (open) faults.push(`${name}: a handover has no end`);
  return faults;
}

/** A player ends only if it was asked to, or if another window of its session replaced it. */
function findEndFaults(player: SimulatedPlayer, players: readonly SimulatedPlayer[]): string[] {
  const { closed, disconnects, name, session } = player;
  const shared = players.filter((other) => other.session === session).length > 1;
  if (closed === undefined) return disconnects ? [`${name}: was asked to leave, and stays`] : [];
  const expected = (disconnects && closed.code === ClosedCode.Left) || (shared && closed.code === ClosedCode.Replaced);
  return expected ? [] : [`${name}: closed with ${closed.code}: ${closed.message}`];
}
