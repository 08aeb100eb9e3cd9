import { type Leases, WATCHERS } from "../session-store/session-log.ts";
import { settledWithin } from "../session-store/session-store.ts";

/** The hub as isolates ask it (session-hub.ts, which this file cannot import). */
export interface Acknowledging extends Rpc.DurableObjectBranded {
  acknowledged(): Promise<string | null>;
}

export interface AcknowledgementsOptions {
  /** The hub of this worker. A stub serves one call: after an error it stays broken. */
  readonly hub: () => Pick<Acknowledging, "acknowledged">;
  /** No lease of this worker's hub runs for longer. */
  readonly boundMs: number;
  /** Keeps a call alive when the client that began it has gone, because others wait for it: the Workers runtime's `waitUntil`. */
  readonly background: (work: Promise<unknown>) => void;
}

type HubAnswer = string | null | undefined;

/** A call of the hub that several writes wait for. */
interface SharedCall {
  /** Whether the hub was called: a write that ends later needs another call, because the hub may have read the log before it. */
  begun: boolean;
  /** When the runtime must have aborted the request that was to make the call, if it is not begun. Epoch ms. */
  readonly lostAt: number;
  /** The hub's name in the store; null or undefined if the hub could not tell. */
  readonly answer: Promise<HubAnswer>;
}

/**
 * Lets the writes of an isolate wait until no bridge answers by the old state of the sessions that they have ended or changed.
 * However many wait, one call of the hub is in flight and one follows it.
 */
export class Acknowledgements {
  readonly #hub: AcknowledgementsOptions["hub"];
  readonly #boundMs: number;
  readonly #background: AcknowledgementsOptions["background"];
  #newest: SharedCall | undefined;

  constructor({ hub, boundMs, background }: AcknowledgementsOptions) {
    this.#hub = hub;
    this.#boundMs = boundMs;
    this.#background = background;
  }

  /**
   * Waits for each of the hubs that may have leases running: for this worker's until its bridges have acknowledged, for any other
   * (a worker of another deployment, or this one's before a restart) until its leases have run out. A hub that does not answer
   * counts as another. It does not reject.
   *
   * Its type is AwaitAcknowledgements (session-log.ts).
   */
  async wait(leases: Leases): Promise<void> {
    const hubs = [...leases].filter(([hub]) => hub !== WATCHERS);
    if (hubs.length === 0) return;
    // One timer each: no clock but the timers' is monotonic here.
    const running = hubs.map(([hub, ms]) => {
      const { promise: end, resolve } = Promise.withResolvers<undefined>();
      return { hub, end, timer: setTimeout(() => resolve(undefined), ms) };
    });
    try {
      const acknowledged = await Promise.race([Promise.all(running.map(({ end }) => end)), this.#ask()]);
      await Promise.all(running.filter(({ hub }) => hub !== acknowledged).map(({ end }) => end));
    } finally {
      for (const { timer } of running) clearTimeout(timer);
    }
  }

  /** The answer of a call that begins after this one. */
  #ask(): Promise<HubAnswer> {
    const newest = this.#newest;
    const now = Date.now();
    const isLost = newest !== undefined && !newest.begun && newest.lostAt <= now;
    if (newest !== undefined && !newest.begun && !isLost) return newest.answer;
    const { promise: answer, resolve } = Promise.withResolvers<HubAnswer>();
    const call: SharedCall = { begun: false, lostAt: now + 2 * this.#boundMs, answer };
    this.#newest = call;
    this.#background(this.#call(call, isLost ? undefined : newest).then(resolve));
    return answer;
  }

  async #call(call: SharedCall, before: SharedCall | undefined): Promise<HubAnswer> {
    if (before !== undefined) await settledWithin(this.#boundMs, before.answer);
    call.begun = true;
    return settledWithin(this.#boundMs, (async () => this.#hub().acknowledged())());
  }
}
