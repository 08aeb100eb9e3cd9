import type { StatusReport } from "./lease-messages.ts";

/** A connected bridge: its lease, the messages that it must ack, and what it reported last. */
export class BridgeState<Bridge> {
  readonly bridge: Bridge;
  /** The newest renewal that no read serves yet. */
  renewal: number | undefined;
  /** How many came since the last read began. */
  renewals = 0;
  /** Until then its lease may run. */
  leaseUntilMs = Number.NEGATIVE_INFINITY;
  /** Grants since its last Ack. */
  grants = 0;
  /** Messages that it must ack, acked ones included. */
  pushedMessages = 0;
  unackedBytes = 0;
  /** Whether it answers a StatusRequest. */
  readonly reports: boolean;
  /** Its answer to the last StatusRequest; undefined until that has come. */
  report: StatusReport | undefined;
  #unacked: UnackedMessage<Bridge>[] = [];

  constructor(bridge: Bridge, reports: boolean) {
    this.bridge = bridge;
    this.reports = reports;
  }

  get unackedMessages(): number {
    return this.#unacked.length;
  }

  /** The number of the message that was pushed last. */
  get lastNumber(): number {
    return this.pushedMessages >>> 0;
  }

  pushed(bytes: number, nowMs: number): void {
    this.pushedMessages += 1;
    this.unackedBytes += bytes;
    this.#unacked.push({ bytes, pushedMs: nowMs, awaitedBy: [] });
  }

  /** Lets a group wait until all that was pushed is acked, and returns whether something is not. */
  awaitAcks(group: WaiterGroup<Bridge>): boolean {
    const last = this.#unacked.at(-1);
    last?.awaitedBy.push(group);
    return last !== undefined;
  }

  /** Takes an Ack; returns false if no unacked message has this number. */
  ack(number: number): boolean {
    const count = (number - (this.pushedMessages - this.#unacked.length)) >>> 0;
    if (count < 1 || count > this.#unacked.length) return false;
    for (const { bytes, awaitedBy } of this.#unacked.splice(0, count)) {
      this.unackedBytes -= bytes;
      for (const group of awaitedBy) group.acked(this);
    }
    this.grants = 0;
    return true;
  }

  /** Whether it has left a message unacked for longer than `boundMs`: its lease runs out, so that deletes stop waiting for it. */
  isOverdue(nowMs: number, boundMs: number): boolean {
    const [oldest] = this.#unacked;
    return oldest !== undefined && nowMs - oldest.pushedMs > boundMs;
  }
}

/** A Changes or a Reset. */
interface UnackedMessage<Bridge> {
  readonly bytes: number;
  readonly pushedMs: number;
  /** They wait for its ack. */
  readonly awaitedBy: WaiterGroup<Bridge>[];
}

/** A call that waits until no bridge answers by the old state. */
export interface Waiter {
  readonly done: (reach: Reach | null) => void;
}

/** How far a change has come. */
export interface Reach {
  /** The connected bridges that could answer from memory when the log was read. */
  readonly bridges: number;
  /** Those of them that have acked all that the log said; the leases of the others have run out. */
  readonly acknowledged: number;
  /** The end of the log as it was read; null: no bridge was connected, so it was not read. */
  readonly position: string | null;
}

/** Waiters that one read has served: they wait for the same acks. */
export class WaiterGroup<Bridge> {
  readonly waiters: readonly Waiter[];
  readonly #position: string | null;
  readonly #goneUntilMs: number;
  #bridges = 0;
  #expired = 0;
  /** The bridges that must still ack, and when the lease of each has run out. */
  readonly #leases = new Map<BridgeState<Bridge>, number>();
  /** When the first of these leases has run out, or earlier. */
  #firstMs = Number.POSITIVE_INFINITY;

  /** `position`: of {@link Reach}. `goneUntilMs`: when the leases of bridges have run out that cannot ack any more. */
  constructor(waiters: readonly Waiter[], position: string | null, goneUntilMs: number) {
    this.waiters = waiters;
    this.#position = position;
    this.#goneUntilMs = goneUntilMs;
  }

  /** When it is settled without another ack. */
  get untilMs(): number {
    return Math.max(this.#goneUntilMs, ...this.#leases.values());
  }

  /** What the waiters are told once it is settled. */
  get reach(): Reach {
    return { bridges: this.#bridges, acknowledged: this.#bridges - this.#expired, position: this.#position };
  }

  /** A bridge must ack what was pushed to it, unless its lease, as it is now, has run out. */
  waitFor(bridge: BridgeState<Bridge>): void {
    this.#bridges += 1;
    if (!bridge.awaitAcks(this)) return;
    this.#leases.set(bridge, bridge.leaseUntilMs);
    this.#firstMs = Math.min(this.#firstMs, bridge.leaseUntilMs);
  }

  acked(bridge: BridgeState<Bridge>): void {
    this.#leases.delete(bridge);
  }

  isSettled(nowMs: number): boolean {
    if (nowMs >= this.#firstMs) {
      for (const [bridge, untilMs] of this.#leases) {
        if (untilMs > nowMs) continue;
        this.#leases.delete(bridge);
        this.#expired += 1;
      }
      this.#firstMs = Math.min(...this.#leases.values());
    }
    return this.#leases.size === 0 && this.#goneUntilMs <= nowMs;
  }
}
