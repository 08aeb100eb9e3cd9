import { ClosedCode } from "../../../protocol/closed-codes.ts";
import type { SenderRates } from "../../../protocol/reliable/room/room-limits.ts";
import { DEFAULT_ROOM_LIMITS } from "../../../protocol/reliable/room/room-limits.ts";
import { type Random, seededRandom } from "../random.ts";
import { findFaults } from "./find-faults.ts";
import { FLOODER_CLOSES, SimulatedFlooder } from "./simulated-flooder.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { SimulatedPlayer } from "./simulated-player.ts";
import { SimulatedRoom } from "./simulated-room.ts";
import { startTrouble } from "./trouble.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** How long the trouble lasts, and how long the recovery may take after it, in virtual time. */
const TROUBLE_MS = 60_000;
const PATIENCE_MS = 120_000;

/** After this time every stalled connection has ended, and every held seat that nobody resumed has expired. */
const GIVEN_UP_MS = 75_000;

/** A log that keeps what members need for longer than a scenario lasts. */
const AMPLE = { neededMs: 600_000, maxNeededBytes: 1 << 26 };

/** The result of a scenario. */
export interface ScenarioReport {
  /** The violations of the contract. */
  readonly faults: readonly string[];
  readonly delivered: number;
  readonly handovers: number;
  readonly failedHandovers: number;
  readonly gaps: number;
  readonly unacked: number;
  /** Connections of the flooder that were closed as too fast. */
  readonly tooFast: number;
  /** Connections of players that were closed as too slow: they reconnect. */
  readonly tooSlow: number;
}

/** Runs the scenario of a seed. The same seed gives the same scenario. */
export function runScenario(seed: number): ScenarioReport {
  const random = seededRandom(seed);
  const clock = new VirtualClock(Date.UTC(2027, 0, 1));
  // If the log is large enough, members get everything; otherwise the log is trimmed during a long absence.
  const keepsNeeded = random.chance(0.5);
  const room = new SimulatedRoom(clock, {
    historyMessages: random.integer(0, 20),
    log: {
      maxEntries: random.integer(10, 200),
      maxBytes: 1_000,
      maxAgeMs: 3_600_000,
      ...(keepsNeeded ? AMPLE : { neededMs: random.integer(100, 20_000), maxNeededBytes: random.integer(500, 20_000) }),
    },
    // Small enough that players are paced, and slow ones closed.
    ...(random.chance(0.3) ? { liveWindowBytes: 600, replayWindowBytes: 200 } : {}),
    ...(random.chance(0.3) ? { ackTimeoutMs: random.integer(1_000, 8_000) } : {}),
    ...(random.chance(0.3) ? { retentionSeconds: random.integer(2, 8) } : {}),
    ...(random.chance(0.4) ? { sender: smallBudget(random) } : {}),
  });
  const network = new SimulatedNetwork(clock, random, room, random.integer(1, 3));
  const limits = random.chance(0.2) ? { windowMessages: 4, windowBytes: 1024 } : {};
  const players = Array.from({ length: random.integer(1, 3) }, (_, index) => {
    const name = String.fromCharCode(97 + index);
    return new SimulatedPlayer(name, `session-${name}`, network, limits);
  });
  const flooder = new SimulatedFlooder(room);
  startTrouble({ clock, random, room, network, players, flooder, untilMs: clock.nowMs + TROUBLE_MS, limits });
  clock.run(clock.nowMs + TROUBLE_MS);
  network.heal();
  flooder.leave();
  const settle = () => clock.run(clock.nowMs + PATIENCE_MS, () => players.every((player) => isSettled(player, room)));
  settle();
  clock.run(clock.nowMs + GIVEN_UP_MS);
  const settled = settle();
  const faults = findFaults(room, players, keepsNeeded);
  for (const code of flooder.closes)
    if (!FLOODER_CLOSES.includes(code)) faults.push(`the flooder is closed with ${code}`);
  if (!settled)
    faults.push(`hangs: ${players.map((player) => `${player.name} is ${player.machine.state}`).join(", ")}`);
  const events = players.flatMap((player) => player.events);
  return {
    faults,
    delivered: events.filter(({ kind }) => kind === "message").length,
    handovers: events.filter(({ kind }) => kind === "handoverEnd").length,
    failedHandovers: events.filter(({ kind }) => kind === "handoverFailed").length,
    gaps: events.filter(({ kind }) => kind === "gap").length,
    tooFast: flooder.closes.filter((code) => code === ClosedCode.TooFast).length,
    tooSlow: events.filter((event) => event.kind === "interrupted" && event.code === ClosedCode.TooSlow).length,
    unacked: events.reduce((sum, event) => sum + ("unacked" in event ? event.unacked.length : 0), 0),
  };
}

function smallBudget(random: Random): SenderRates {
  const rate = (least: number, most: number) => ({
    perSecond: random.integer(least, most),
    burst: random.integer(least, most),
  });
  const { packets } = DEFAULT_ROOM_LIMITS.sender;
  return {
    messages: rate(5, 50),
    bytes: rate(500, 5_000),
    datagrams: rate(1, 50),
    datagramBytes: rate(50, 5_000),
    packets,
  };
}

/** Whether the player has ended, or has received everything and the room knows it. */
function isSettled(player: SimulatedPlayer, room: SimulatedRoom): boolean {
  if (player.closed !== undefined) return true;
  if (player.machine.state !== "Established" || player.machine.unackedMessages > 0 || player.isHandingOver)
    return false;
  const { epoch, entries } = room.chronicle;
  const { member } = player.machine;
  if (player.machine.position.epoch !== epoch) return false;
  const last = entries.findLast(
    (entry) => entry.kind === "presence" || [0, member].includes(entry.to) || entry.from === member,
  );
  return player.machine.position.delivered >= (last?.offset ?? 0);
}
