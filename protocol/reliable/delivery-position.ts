import type { Gap, Joined } from "../player-packets.ts";

/** How far a player has got in a room's log. `(epoch, offset)` is one value: neither means anything without the other. */
export class DeliveryPosition {
  #epoch = 0;
  #delivered = 0;

  /** The incarnation of the log, 0 before the first Joined. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The highest offset received. */
  get delivered(): number {
    return this.#delivered;
  }

  /**
   * Takes the room's answer to a Join.
   *
   * @returns what of the same log lies between the two positions and will not come, an upper bound
   */
  join({ epoch, offset }: Joined): Gap | undefined {
    const sameLog = epoch === this.#epoch;
    const before = this.#delivered;
    this.#epoch = epoch;
    // A newcomer's history may start before what this player has: that much of it is a repetition.
    this.#delivered = sameLog ? Math.max(before, offset) : offset;
    return sameLog && offset > before ? { kind: "gap", from: before + 1, to: offset } : undefined;
  }

  /** Whether `offset` is new; if so, it is received. */
  advance(offset: number): boolean {
    if (offset <= this.#delivered) return false;
    this.#delivered = offset;
    return true;
  }

  /** Takes the room's Gap; undefined if all of it was received after all. */
  skip({ from, to }: Gap): Gap | undefined {
    const first = Math.max(from, this.#delivered + 1);
    return this.advance(to) ? { kind: "gap", from: first, to } : undefined;
  }
}
