import { Presence } from "../../protocol/player-packets.ts";
import type { EventOf } from "../reliable/connection-events.ts";
import { printable } from "./plain-text.ts";

/** Somebody who is in the room. */
export interface RosterMember {
  readonly member: number;
  readonly user: string;
  /** The connection is lost, the seat is kept. */
  readonly held: boolean;
}

export type PresenceNews = "joined" | "held" | "resumed" | "left";

/** Names of those who left, for what they said before. */
const MAX_NAMES = 2_000;

/** Who is in a room, as its presence packets tell. */
export class Roster {
  readonly #present = new Map<number, RosterMember>();
  readonly #names = new Map<number, string>();
  #epoch = 0;

  get members(): readonly RosterMember[] {
    return [...this.#present.values()];
  }

  /** What to call a member: 0 is the server. */
  nameOf(member: number): string {
    if (member === 0) return "server";
    return this.#names.get(member) ?? `player ${member}`;
  }

  /** A seat was given: a new one learns anew who is there, and another log numbers its members anew. */
  joined({ epoch, resumed }: EventOf<"joined">): void {
    if (!resumed) this.#present.clear();
    if (epoch !== this.#epoch) this.#names.clear();
    this.#epoch = epoch;
  }

  /** Part of the log is missing: the room tells again who is there. */
  gap(): void {
    this.#present.clear();
  }

  /** Takes a presence packet; undefined if it is no news. */
  presence({ offset, member, state, user }: EventOf<"presence">): PresenceNews | undefined {
    const before = this.#present.get(member);
    this.#remember(member, printable(user));
    if (state === Presence.Left) {
      return this.#present.delete(member) ? "left" : undefined;
    }
    const held = state === Presence.Held;
    this.#present.set(member, { member, user: this.nameOf(member), held });
    if (offset === 0 || before?.held === held) return undefined;
    if (before === undefined) return state === Presence.Joined ? "joined" : undefined;
    return held ? "held" : "resumed";
  }

  #remember(member: number, name: string): void {
    this.#names.set(member, name);
    if (this.#names.size <= MAX_NAMES) return;
    for (const known of this.#names.keys()) {
      if (this.#present.has(known) || known === member) continue;
      this.#names.delete(known);
      return;
    }
  }
}
