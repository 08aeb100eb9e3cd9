import type { ClientEvent } from "../../../protocol/reliable/client/client-output.ts";
import { isVisibleTo, type LogEntry } from "../../../protocol/reliable/room/room-log.ts";
import type { SimulatedPlayer } from "./simulated-player.ts";
import type { Chronicle } from "./simulated-room.ts";

type Told = Extract<ClientEvent, { kind: "message" | "presence" }>;

/**

 * Compares the events of a player with the log: each entry is as it was appended, none is delivered twice or out of order,
 * and missing entries are covered by a Gap, which the log's bounds or a lost seat explain.
 *
 * `keepsNeeded`: whether the log is large enough for all that members need, so that no seat may get a Gap.
 */
export function findDeliveryFaults(
  player: SimulatedPlayer,
  chronicles: readonly Chronicle[],
  keepsNeeded: boolean,
): string[] {
  const walk = new DeliveryWalk(player.name, chronicles, keepsNeeded);
  for (const event of player.events) walk.take(event);
  if (player.closed === undefined) walk.end();
  return walk.faults;
}

class DeliveryWalk {
  readonly faults: string[] = [];
  readonly #name: string;
  readonly #keepsNeeded: boolean;
  readonly #chronicles: readonly Chronicle[];
  #chronicle: Chronicle | undefined;
  #member = 0;
  /** The player received all visible entries up to here; undefined before the first entry of a seat in a new log. */
  #position: number | undefined;
  #seatIsNew = false;

  constructor(name: string, chronicles: readonly Chronicle[], keepsNeeded: boolean) {
    this.#name = name;
    this.#keepsNeeded = keepsNeeded;
    this.#chronicles = chronicles;
  }

  take(event: ClientEvent): void {
    if (event.kind === "joined") this.#join(event.epoch, event.member, event.resumed);
    else if (event.kind === "gap") this.#skip(event.from, event.to);
    else if (event.kind === "message" || (event.kind === "presence" && event.offset > 0)) this.#tell(event);
  }

  /** At the end of a settled scenario no entry is missing. */
  end(): void {
    const entries = this.#chronicle?.entries ?? [];
    if (this.#position !== undefined) this.#expectNothingBetween(this.#position, entries.length + 1);
  }

  #join(epoch: number, member: number, resumed: boolean): void {
    if (epoch !== this.#chronicle?.epoch) {
      if (resumed) this.#fault(`resumed in another epoch`);
      this.#chronicle = this.#chronicles.find((chronicle) => chronicle.epoch === epoch);
      this.#position = undefined;
    } else if (resumed && member !== this.#member) this.#fault(`resumed as ${member} instead of ${this.#member}`);
    this.#seatIsNew = !resumed;
    this.#member = member;
  }

  #skip(from: number, to: number): void {
    if (this.#position !== undefined && from <= this.#position) this.#fault(`gap from ${from} at ${this.#position}`);
    // A room that paced a player may know that the entries before it are not visible to the player.
    if (this.#position !== undefined) this.#expectNothingBetween(this.#position, from);
    const trimmed = to < (this.#chronicle?.storage.first ?? 0);
    if (!trimmed && !this.#seatIsNew) this.#fault(`gap to ${to} although the log still has it`);
    if (this.#keepsNeeded && !this.#seatIsNew) this.#fault(`gap to ${to} although it was needed`);
    this.#position = to;
  }

  #tell(told: Told): void {
    const { offset } = told;
    const entry = this.#chronicle?.entries[offset - 1];
    if (entry === undefined || !isSame(told, entry)) this.#fault(`was told something else of offset ${offset}`);
    else if (!isVisibleTo(entry, this.#member)) this.#fault(`was told of offset ${offset}, which was for another`);
    if (this.#position !== undefined && offset <= this.#position)
      this.#fault(`offset ${offset} comes after ${this.#position}`);
    this.#expectNothingBetween(this.#position ?? offset - 1, offset);
    this.#position = offset;
  }

  #expectNothingBetween(after: number, before: number): void {
    for (const entry of this.#chronicle?.entries.slice(after, before - 1) ?? []) {
      // Private messages to a lost seat belong to that seat.
      if (isVisibleTo(entry, this.#member)) this.#fault(`offset ${entry.offset} was left out`);
    }
  }

  #fault(what: string): void {
    this.faults.push(`${this.#name}: ${what}`);
  }
}

function isSame(told: Told, entry: LogEntry): boolean {
  if (told.kind === "presence" && entry.kind === "presence") {
    return told.member === entry.member && told.state === entry.state && told.user === entry.user;
  }
  if (told.kind !== "message" || entry.kind !== "message") return false;
  return told.from === entry.from && told.to === entry.to && Buffer.compare(told.body, entry.body) === 0;
}
