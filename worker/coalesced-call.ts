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
  readonly result: Promise<T | undefined>;
}

/** A call of a Durable Object that an isolate's requests share: however many ask for it, one is in flight and one follows it. */
export class CoalescedCall<T> {
  readonly #options: CoalescedCallOptions<T>;
  #newest: SharedCall<T> | undefined;

  constructor(options: CoalescedCallOptions<T>) {
    this.#options = options;
  }

  /** The result of a call that begins after this one; undefined if it failed. It does not reject. */
  ask(): Promise<T | undefined> {
    const newest = this.#newest;
    const now = Date.now();
    const isLost = newest !== undefined && !newest.begun && newest.lostAt <= now;
    if (newest !== undefined && !newest.begun && !isLost) return newest.result;
    const { promise: result, resolve } = Promise.withResolvers<T | undefined>();
    const call: SharedCall<T> = { begun: false, lostAt: now + 2 * this.#options.deadlineMs, result };
    this.#newest = call;
    this.#options.background(this.#call(call, isLost ? undefined : newest).then(resolve));
    return result;
  }

  async #call(call: SharedCall<T>, before: SharedCall<T> | undefined): Promise<T | undefined> {
    const { deadlineMs } = this.#options;
    if (before !== undefined) await settledWithin(deadlineMs, before.result);
    call.begun = true;
    return settledWithin(deadlineMs, (async () => this.#options.call())());
  }
}
