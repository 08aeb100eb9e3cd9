import { CoalescedCall } from "../coalesced-call.ts";
import { type Leases, WATCHERS } from "../session-store/session-log.ts";

/** The hub as isolates ask it (session-hub.ts, which this file cannot import). */
export interface Acknowledging extends Rpc.DurableObjectBranded {
  acknowledged(): Promise<string | null>;
}

export interface AcknowledgementsOptions {
  /** The hub of this worker. */
  readonly hub: () => Pick<Acknowledging, "acknowledged">;
  /** No lease of this worker's hub runs for longer. */
  readonly boundMs: number;
  /** The Workers runtime's `waitUntil`. */
  readonly background: (work: Promise<unknown>) => void;
}

/**
 * Lets the writes of an isolate wait until no bridge answers by the old state of the sessions that they have ended or changed.
 * However many wait, one call of the hub is in flight and one follows it.
 */
export class Acknowledgements {
  /** Its result is the hub's name in the store; null or undefined if the hub could not tell. */
  readonly #acknowledged: CoalescedCall<string | null>;

  constructor({ hub, boundMs, background }: AcknowledgementsOptions) {
    this.#acknowledged = new CoalescedCall({ call: () => hub().acknowledged(), deadlineMs: boundMs, background });
  }

  /**
   * Waits for each of the hubs that may have leases running: for this worker's until its bridges have acknowledged, for any other
   * (a worker of another deployment, or this one's before a restart) until its leases have run out. A hub that does not answer
   * counts as another. It does not reject.
   *
   * Its type is AwaitAcknowledgements (session-log.ts), but it tells no {@link WATCHERS}.
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
      const acknowledged = await Promise.race([Promise.all(running.map(({ end }) => end)), this.#acknowledged.ask()]);
      await Promise.all(running.filter(({ hub }) => hub !== acknowledged).map(({ end }) => end));
    } finally {
      for (const { timer } of running) clearTimeout(timer);
    }
  }
}
