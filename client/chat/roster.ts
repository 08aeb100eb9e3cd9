import { Presence } from "../../protocol/player-packets.ts";
import type { EventOf } from "../reliable/connection-events.ts";
import { printable } from "./plain-text.ts";

/** A member of the room. */
export interface RosterMember {
  readonly member: number;
  readonly user: string;
  /** The connection is lost, the seat is kept. */
  readonly held: boolean;
}

export type PresenceNews = "joined" | "held" | "resumed" | "left";

/** How many names are kept, also of members who left: their messages may still be shown. */
const MAX_NAMES = 2_000;

/** The members of a room, from its presence packets. */
export class Roster {
  readonly #present = new Map<number, RosterMember>();
  readonly #names = new Map<number, string>();
  #epoch = 0;

  get members(): readonly RosterMember[] {
    return [...this.#present.values()];
  }

  /** The name of a member: 0 is the server. */
  nameOf(member: number): string {
    if (member === 0) return "server";
    return this.#names.get(member) ?? `player ${member}`;
  }

  /** A seat was given. For a new seat the room sends its members again; with another log, the numbers mean others. */
  joined({ epoch, resumed }: EventOf<"joined">): void {
    if (!resumed) this.#present.clear();
    if (epoch !== this.#epoch) this.#names.clear();
    this.#epoch = epoch;
  }

  /** Part of the log is missing: the room sends its members again. */
  gap(): void {
    this.#present.clear();
  }

  /** Applies a presence packet; returns the change to show, undefined if there is none. */
  presence({ offset, member, state, user }: EventOf<"presence">): PresenceNews | undefined {
    const before = this.#present.get(member);
    this.#setName(member, printable(user));
    if (state === Presence.Left) {
      return this.#present.delete(member) ? "left" : undefined;
    }
    const held = state === Presence.Held;
    this.#present.set(member, { member, user: this.nameOf(member), held });
    if (offset === 0 || before?.held === held) return undefined;
    if (before === undefined) return state === Presence.Joined ? "joined" : undefined;
    return held ? "held" : "resumed";
  }

  #setName(member: number, name: string): void {
    this.#names.set(member, name);
    if (this.#names.size <= MAX_NAMES) return;
    for (const known of this.#names.keys()) {
      if (this.#present.has(known) || known === member) continue;
      this.#names.delete(known);
      return;
    }
  }
}
