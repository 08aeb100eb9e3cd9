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

  /** Calls back at `dueMs`, or earlier. Only for what is near: a pending timer keeps the room from hibernating. */
  wakeAt(dueMs: number, nowMs: number): void {
    if (this.#timer !== undefined && this.#timer.dueMs <= dueMs) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer.id);
    const id = setTimeout(
      () => {
        this.#timer = undefined;
        this.#onTimer();
      },
      Math.max(0, dueMs - nowMs),
    );
    this.#timer = { dueMs, id };
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
