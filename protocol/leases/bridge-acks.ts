/** A connected bridge: its lease, and the messages that it must ack. */
export class BridgeState<Bridge> {
  readonly bridge: Bridge;
  /** The newest renewal that no read serves yet. */
  renewal: number | undefined;
  /** Until then its lease may run. */
  leaseUntilMs = Number.NEGATIVE_INFINITY;
  /** Grants since its last Ack. */
  grants = 0;
  /** Messages that it must ack, acked ones included. */
  pushedMessages = 0;
  unackedBytes = 0;
  #unacked: { readonly bytes: number; readonly pushedMs: number }[] = [];

  constructor(bridge: Bridge) {
    this.bridge = bridge;
  }

  get unackedMessages(): number {
    return this.#unacked.length;
  }

  get ackedMessages(): number {
    return this.pushedMessages - this.#unacked.length;
  }

  /** The number of the message that was pushed last. */
  get lastNumber(): number {
    return this.pushedMessages >>> 0;
  }

  pushed(bytes: number, nowMs: number): void {
    this.pushedMessages += 1;
    this.unackedBytes += bytes;
    this.#unacked.push({ bytes, pushedMs: nowMs });
  }

  /** Takes an Ack; returns false if no unacked message has this number. */
  ack(number: number): boolean {
    const count = (number - this.ackedMessages) >>> 0;
    if (count < 1 || count > this.#unacked.length) return false;
    for (const { bytes } of this.#unacked.splice(0, count)) this.unackedBytes -= bytes;
    this.grants = 0;
    return true;
  }

  /** Whether it has left a message unacked for longer than `boundMs`: its lease runs out, so that deletes stop waiting for it. */
  isOverdue(nowMs: number, boundMs: number): boolean {
    const [oldest] = this.#unacked;
    return oldest !== undefined && nowMs - oldest.pushedMs > boundMs;
  }
}

/** A call that waits until no bridge answers by the old state. */
export interface Waiter {
  readonly done: (isAcknowledged: boolean) => void;
}

/** What a group of waiters still needs of one bridge: an ack of its first `count` pushed messages. */
export interface AckNeed<Bridge> {
  readonly state: BridgeState<Bridge>;
  readonly count: number;
  readonly untilMs: number;
}

/** Waiters that one read has served. */
export class WaiterGroup<Bridge> {
  readonly waiters: readonly Waiter[];
  readonly #goneUntilMs: number;
  #needs: readonly AckNeed<Bridge>[];

  constructor(waiters: readonly Waiter[], needs: readonly AckNeed<Bridge>[], goneUntilMs: number) {
    this.waiters = waiters;
    this.#needs = needs;
    this.#goneUntilMs = goneUntilMs;
  }

  /** When it is settled without another ack. */
  get untilMs(): number {
    return this.#needs.reduce((latest, { untilMs }) => Math.max(latest, untilMs), this.#goneUntilMs);
  }

  isSettled(nowMs: number): boolean {
    this.#needs = this.#needs.filter(({ state, count, untilMs }) => untilMs > nowMs && state.ackedMessages < count);
    return this.#needs.length === 0 && this.#goneUntilMs <= nowMs;
  }
}
