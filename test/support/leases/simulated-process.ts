import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";

/** Clocks run at most so much faster or slower than real time. */
const MAX_DRIFT = 0.01;

/** A program on a machine with clocks of its own. It can be stopped, and the machine can be suspended: then nothing of it runs. */
export class SimulatedProcess {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #rate: number;
  readonly #startMs: number;
  /** What the monotonic clock missed, in its own ms. */
  #missedMs = 0;
  #setMs = 0;
  #stoppedMs: number | undefined;
  #isSuspended = false;
  #waiting: { readonly isRequest: boolean; readonly action: () => void }[] = [];
  isDead = false;

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#startMs = clock.nowMs;
    this.#rate = 1 + MAX_DRIFT * (random.next() * 2 - 1);
  }

  get isStopped(): boolean {
    return this.#stoppedMs !== undefined;
  }

  /** It stands still while the machine is suspended. */
  get monotonicMs(): number {
    const endMs = this.#isSuspended && this.#stoppedMs !== undefined ? this.#stoppedMs : this.#clock.nowMs;
    return (endMs - this.#startMs) * this.#rate - this.#missedMs;
  }

  get wallMs(): number {
    return 1e12 + (this.#clock.nowMs - this.#startMs) * this.#rate + this.#setMs;
  }

  setWallClock(byMs: number): void {
    this.#setMs += byMs;
  }

  /** Runs the action now, or once the process goes on. `isRequest`: of a client, whose bytes may be read before the hub's. */
  run(action: () => void, isRequest = false): void {
    if (this.isDead) return;
    if (this.isStopped) this.#waiting.push({ isRequest, action });
    else action();
  }

  /** Runs the action after `delayMs` of the monotonic clock. */
  in(delayMs: number, action: () => void): void {
    this.#clock.in(delayMs / this.#rate, () => this.run(action));
  }

  /** Stops the process; `suspends`: the whole machine. */
  stop(suspends: boolean): void {
    if (this.isStopped) return;
    this.#stoppedMs = this.#clock.nowMs;
    this.#isSuspended = suspends;
  }

  resume(): void {
    if (this.#stoppedMs === undefined) return;
    if (this.#isSuspended) this.#missedMs += (this.#clock.nowMs - this.#stoppedMs) * this.#rate;
    this.#stoppedMs = undefined;
    this.#isSuspended = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    // Which socket is read first is not known; the requests first is the worst.
    const requestsFirst = this.#random.chance(0.7);
    const requests = waiting.filter(({ isRequest }) => isRequest === requestsFirst);
    const others = waiting.filter(({ isRequest }) => isRequest !== requestsFirst);
    for (const { action } of [...requests, ...others]) this.run(action);
  }
}
