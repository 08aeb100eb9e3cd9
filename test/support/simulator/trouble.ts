import type { ClientLimits } from "../../../protocol/reliable/client/client-config.ts";
import type { Random } from "../random.ts";
import type { SimulatedFlooder } from "./simulated-flooder.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import { SimulatedPlayer } from "./simulated-player.ts";
import type { SimulatedRoom } from "./simulated-room.ts";
import type { VirtualClock } from "./virtual-clock.ts";

export interface Stage {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly room: SimulatedRoom;
  readonly network: SimulatedNetwork;
  /** Adds a second window of a session. */
  readonly players: SimulatedPlayer[];
  readonly flooder: SimulatedFlooder;
  readonly untilMs: number;
  readonly limits: Partial<ClientLimits>;
}

/** Lets the players talk and everything else fail, at random times until the end of the trouble. */
export function startTrouble(stage: Stage): void {
  const { clock, random, players, flooder, untilMs } = stage;
  const startMs = clock.nowMs;
  const moment = () => random.integer(startMs, untilMs);
  for (const player of [...players]) {
    const joinsMs = random.chance(0.7) ? startMs : moment();
    clock.at(joinsMs, () => player.connect());
    const messages = random.integer(0, 25);
    const burstMs = moment();
    for (let message = 0; message < messages; message++) {
      const atMs = random.chance(0.3) ? burstMs : moment();
      clock.at(atMs, () => player.send(recipient(stage), random.chance(0.3) ? random.integer(0, 300) : 0));
    }
    if (random.chance(0.2)) clock.at(moment(), () => player.datagram());
    if (random.chance(0.3)) clock.at(moment(), () => player.hint());
    if (random.chance(0.1)) clock.at(moment(), () => talkWithoutEnd(stage, player));
    if (random.chance(0.2)) {
      const heldMs = moment();
      clock.at(heldMs, () => player.holdAcks(true));
      clock.at(Math.min(untilMs, heldMs + random.integer(1_000, 40_000)), () => player.holdAcks(false));
    }
    if (random.chance(0.08)) clock.at(moment(), () => player.disconnect());
    if (random.chance(0.05)) clock.at(moment(), () => openSecondWindow(stage, player));
  }
  for (let flood = random.chance(0.15) ? random.integer(1, 4) : 0; flood > 0; flood--) {
    // A connection whose window is small would take longer than anybody's patience for more that is for everybody.
    const isPrivate = random.chance(0.6);
    const [count, bytes] =
      isPrivate && random.chance(0.6) ? [random.integer(10, 60), 16_000] : [random.integer(10, 300), 9];
    clock.at(moment(), () => flooder.flood(count, bytes, isPrivate));
  }
  for (let fault = random.integer(0, 12); fault > 0; fault--) clock.at(moment(), () => breakSomething(stage));
}

function recipient({ random, room }: Stage): number {
  const members = room.memberNumbers;
  if (random.chance(0.7) || members.length === 0) return 0;
  return members[random.integer(0, members.length - 1)] ?? 0;
}

/** Sends as much as the window accepts: only the room's Acks slow it down. */
function talkWithoutEnd(stage: Stage, player: SimulatedPlayer): void {
  for (let message = stage.random.integer(10, 100); message > 0; message--) player.send(recipient(stage), 0);
}

/** The same session once more: the room accepts the newest window and closes the older one. */
function openSecondWindow({ random, network, players, limits }: Stage, player: SimulatedPlayer): void {
  const second = new SimulatedPlayer(`${player.name}2`, player.session, network, limits);
  players.push(second);
  second.connect();
  for (let message = random.integer(0, 3); message > 0; message--) second.send(0, 0);
}

function breakSomething({ random, room, network }: Stage): void {
  const { connections } = network;
  const connection = connections[random.integer(0, Math.max(0, connections.length - 1))];
  const kind = random.integer(0, 99);
  if (kind < 40) connection?.cut();
  else if (kind < 60) connection?.stall(random.chance(0.5) ? random.integer(100, 20_000) : undefined);
  else if (kind < 70) network.killRelay(random.integer(100, 40_000));
  else if (kind < 78) room.hibernate();
  else if (kind < 84) room.crash(true);
  else if (kind < 90) room.crashInNextTurn();
  else if (kind < 92) room.crash(false);
  else room.announce(Buffer.from(`news ${random.integer(0, 1_000_000)}`));
}
