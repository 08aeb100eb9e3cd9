import { settledWithin } from "./session-store/session-store.ts";

export interface CoalescedCallOptions<T> {
  /** Calls the Durable Object: a stub serves one call, because after an error it stays broken. It may throw, reject or hang. */
  readonly call: () => Promise<T>;
  /** A call that takes longer counts as failed. */
  readonly deadlineMs: number;
  /** Keeps a call alive when the client that began it has gone, because others wait for it: the Workers runtime's `waitUntil`. */
  readonly background: (work: Promise<unknown>) => void;
}

/** A call that several requests wait for. */
interface SharedCall<T> {
  /** Whether the object was called: who asks later needs another call, because this one may have seen the time before. */
  begun: boolean;
  /** When the runtime must have aborted the request that was to make the call, if it is not begun. Epoch ms. */
  readonly lostAt: number;
  settled: boolean;
  /**
   * Of the requests that wait, each with a promise of its own: a request that waits no longer is not here any more. The runtime warns
   * of a promise that is settled when its request is over.
   */
  readonly waiting: Set<(result: T | undefined) => void>;
}

/** A call of a Durable Object that an isolate's requests share: however many ask for it, one is in flight and one follows it. */
export class CoalescedCall<T> {
  readonly #options: CoalescedCallOptions<T>;
  #newest: SharedCall<T> | undefined;

  constructor(options: CoalescedCallOptions<T>) {
    this.#options = options;
  }

  /** The result of a call that begins after this one; undefined if it failed, or if `until` is settled before. It does not reject. */
  ask(until?: Promise<unknown>): Promise<T | undefined> {
    const newest = this.#newest;
    const now = Date.now();
    const isLost = newest !== undefined && !newest.begun && newest.lostAt <= now;
    if (newest !== undefined && !newest.begun && !isLost) return resultOf(newest, until);
    const lostAt = now + 2 * this.#options.deadlineMs;
    const call: SharedCall<T> = { begun: false, lostAt, settled: false, waiting: new Set() };
    this.#newest = call;
    const result = resultOf(call, until);
    this.#options.background(this.#call(call, isLost ? undefined : newest));
    return result;
  }

  async #call(call: SharedCall<T>, before: SharedCall<T> | undefined): Promise<void> {
    const { deadlineMs } = this.#options;
    if (before !== undefined) await (before.settled || resultOf(before, scheduler.wait(deadlineMs)));
    call.begun = true;
    const result = await settledWithin(deadlineMs, (async () => this.#options.call())());
    call.settled = true;
    for (const resolve of call.waiting) resolve(result);
  }
}

async function resultOf<T>({ waiting }: SharedCall<T>, until: Promise<unknown> | undefined): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<T | undefined>();
  waiting.add(resolve);
  const stop = () => resolve(undefined);
  until?.then(stop, stop);
  try {
    return await promise;
  } finally {
    waiting.delete(resolve);
  }
}

/** Pokes begin at most this often. The event hub reads the log no more often (FeedLimits). */
const POKE_INTERVAL_MS = 20;

/**
 * Calls of a Durable Object that tell it that there is something new, fewer than there are requests that say so: after each `ask` one
 * begins. Nobody waits for them, so the requests share no promise: one that is settled when the request that waits for it is over is a
 * warning of the runtime.
 */
export class Poke {
  readonly #options: CoalescedCallOptions<void>;
  #begunMs = Number.NEGATIVE_INFINITY;
  /** Since when a call waits for its time. */
  #waitingSinceMs: number | undefined;

  constructor(options: CoalescedCallOptions<void>) {
    this.#options = options;
  }

  ask(): void {
    const nowMs = Date.now();
    const { background, deadlineMs } = this.#options;
    // The runtime may have aborted the request that waits.
    if (this.#waitingSinceMs !== undefined && nowMs < this.#waitingSinceMs + deadlineMs) return;
    this.#waitingSinceMs = nowMs;
    background(this.#call(Math.min(POKE_INTERVAL_MS, this.#begunMs + POKE_INTERVAL_MS - nowMs)));
  }

  async #call(delayMs: number): Promise<void> {
    const { call, deadlineMs } = this.#options;
    if (delayMs > 0) await scheduler.wait(delayMs);
    this.#waitingSinceMs = undefined;
    this.#begunMs = Date.now();
    await settledWithin(deadlineMs, (async () => call())());
  }
}
