/** When a room is called again: a timer while it is awake, and the alarm, which also wakes it. */
export class RoomTimers {
  readonly #ctx: DurableObjectState;
  readonly #onTimer: () => void;
  #timer: { readonly dueMs: number; readonly id: number } | undefined;
  /** When the alarm that this memory has set comes; what an earlier one set is not known. */
  #alarmMs = Number.POSITIVE_INFINITY;

  constructor(ctx: DurableObjectState, onTimer: () => void) {
    this.#ctx = ctx;
    this.#onTimer = onTimer;
  }

  /** Calls back at `dueMs`, undefined for not at all. Only for what is near: a pending timer keeps the room awake. */
  wakeAt(dueMs: number | undefined, nowMs: number): void {
    if (this.#timer?.dueMs === dueMs) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer.id);
    this.#timer = undefined;
    if (dueMs === undefined) return;
    const call = () => {
      this.#timer = undefined;
      this.#onTimer();
    };
    this.#timer = { dueMs, id: setTimeout(call, Math.max(0, dueMs - nowMs)) };
  }

  /** Has the alarm come at `atMs` or earlier: one that comes too early sets the next, which is cheaper than each change. */
  alarmAt(atMs: number): void {
    if (this.#alarmMs <= atMs) return;
    this.#alarmMs = atMs;
    this.#ctx.waitUntil(this.#ctx.storage.setAlarm(atMs));
  }

  /** The alarm has come, so none is set. */
  alarmCame(): void {
    this.#alarmMs = Number.POSITIVE_INFINITY;
  }
}
