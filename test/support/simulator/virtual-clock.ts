interface Appointment {
  readonly atMs: number;
  /** Timers of the same time run in the order in which they were set. */
  readonly order: number;
  readonly action: () => void;
}

/** More timers than this at one time are an endless loop: something waits for a deadline that has passed. */
const MAX_WITHOUT_PROGRESS = 10_000;

/** A clock that jumps from timer to timer: an hour takes only as long as its timers. */
export class VirtualClock {
  /** A binary heap: the next timer is the first. */
  readonly #heap: Appointment[] = [];
  #nowMs: number;
  #order = 0;
  #withoutProgress = 0;

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  at(atMs: number, action: () => void): void {
    const heap = this.#heap;
    const appointment = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, action };
    let at = heap.length;
    heap.push(appointment);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(appointment, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = appointment;
  }

  in(delayMs: number, action: () => void): void {
    this.at(this.#nowMs + delayMs, action);
  }

  /** Runs the timers up to `untilMs`, or until `isDone` returns true between two timers; returns whether it did. */
  run(untilMs: number, isDone: () => boolean = () => false): boolean {
    for (;;) {
      if (isDone()) return true;
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#removeFirst();
      this.#withoutProgress = next.atMs > this.#nowMs ? 0 : this.#withoutProgress + 1;
      if (this.#withoutProgress > MAX_WITHOUT_PROGRESS) throw new Error(`time stands still at ${this.#nowMs}`);
      this.#nowMs = next.atMs;
      next.action();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
    return isDone();
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const [child, index] = right !== undefined && isBefore(right, left) ? [right, 2 * at + 2] : [left, 2 * at + 1];
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = index;
    }
    heap[at] = last;
  }
}

function isBefore(a: Appointment, b: Appointment): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
