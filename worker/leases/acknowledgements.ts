import { CoalescedCall } from "../coalesced-call.ts";
import { type Leases, WATCHERS } from "../session-store/session-log.ts";

/** The hub as isolates ask it (session-hub.ts, which this file cannot import). */
export interface Acknowledging extends Rpc.DurableObjectBranded {
  acknowledged(): Promise<string | null>;
  /** How far the log has come, once no bridge answers by what it said before the call; null if it could not be read. */
  reach(): Promise<BridgesReach | null>;
  /** The connected bridges, and those that were refused lately. */
  status(): Promise<readonly BridgeStatus[]>;
  /** A bridge was refused because of its wire protocol: {@link status} lists it for some minutes. */
  refused(bridge: RefusedBridge): Promise<void>;
}

/** The bridges that could answer from memory, those of them that have acked all up to the position, and the position in the log. */
export interface BridgesReach {
  readonly bridges: number;
  readonly acknowledged: number;
  readonly position: string;
}

/** A bridge whose wire protocol does not fit. */
export interface RefusedBridge {
  readonly version: string | null;
  readonly address: string | null;
  readonly protocol: string;
}

/** A bridge that is connected to the hub, or was refused; null is what is not known. What it says of itself is text of a holder of the API key. */
export interface BridgeStatus {
  /** As it has announced it; an older bridge does not, and is not asked for the numbers. */
  readonly version: string | null;
  /** The IP address from which it has connected, as the worker saw it. */
  readonly address: string | null;
  /** Sessions that it keeps. */
  readonly kept: number | null;
  /** Checks that it has answered since its start, and those of them that it answered from memory. */
  readonly answered: number | null;
  readonly fromMemory: number | null;
  /** How long ago its lease was renewed, ms; null: it holds none. */
  readonly leaseAgeMs: number | null;
  /** Null: it was refused. */
  readonly connectedMs: number | null;
  /** The wire protocol for which it was refused; null: it is connected. */
  readonly refusedProtocol: string | null;
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
      const acknowledged = await this.#acknowledged.ask(Promise.all(running.map(({ end }) => end)));
      await Promise.all(running.filter(({ hub }) => hub !== acknowledged).map(({ end }) => end));
    } finally {
      for (const { timer } of running) clearTimeout(timer);
    }
  }
}
