import { failedResponse, type SessionRequest, type SessionResponse } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type EndedSessions, type SessionStore, STORE_DEADLINE_MS, settledWithin } from "./session-store.ts";

/**
 * With so many runs under way the next readers wait for one of them: as many as make that wait about 5 ms, however far the
 * store is. The fewer there are, the more readers share one.
 */
const MIN_RUNS = 2;
const MAX_RUNS = 16;
const WAIT_MS = 5;

/** The weight of the newest run in their mean time. */
const NEWEST_WEIGHT = 1 / 8;

/** Records of 64 grants with 512 bytes each make a reply of 3.2 MB. */
const MAX_SHARED_READS = 100;

const READS: ReadonlySet<SessionRequest["kind"]> = new Set(["check", "identify", "checkAccess", "get"]);

export interface CoalescingStoreOptions {
  readonly store: SessionStore;
  /**
   * Keeps a read alive when its own client is gone, for others wait for the run that it leads, or is to lead when its turn
   * comes: the Workers runtime's `waitUntil`.
   */
  readonly background: (work: Promise<unknown>) => void;
  readonly deadlineMs?: number;
}

/** A place among the runs under way. A request that the runtime tears down gives it back by time: epoch ms. */
interface Slot {
  readonly startedAt: number;
  readonly lostAt: number;
}

/** A read that waits: for its answer, for the slot in which it leads the next run, or, undefined, for its deadline. */
interface WaitingRead {
  readonly request: SessionRequest;
  readonly resolve: (outcome: SessionResponse | Slot | undefined) => void;
}

/**
 * A store whose concurrent readers share round trips: what many clients of one isolate ask one by one, over HTTP, reaches
 * the store in batches. Batches and writes are passed on as they come.
 *
 * A Worker's I/O belongs to the request that began it, so every run is led by one of the requests that wait for it.
 */
export class CoalescingStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #background: CoalescingStoreOptions["background"];
  readonly #deadlineMs: number;
  readonly #runs = new Set<Slot>();
  readonly #waiting = new Set<WaitingRead>();
  /** At first the store is taken for far, so that nobody waits for it long. */
  #meanRunMs = MAX_RUNS * WAIT_MS;

  constructor({ store, background, deadlineMs = STORE_DEADLINE_MS }: CoalescingStoreOptions) {
    this.#store = store;
    this.#background = background;
    this.#deadlineMs = deadlineMs;
  }

  async run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    const [request] = requests;
    if (request === undefined || requests.length > 1 || !READS.has(request.kind)) return this.#store.run(requests);
    const responses = this.#share(request);
    this.#background(responses);
    return responses;
  }

  endAll(): Promise<EndedSessions> {
    return this.#store.endAll();
  }

  ping(): Promise<boolean> {
    return this.#store.ping();
  }

  sweep(): Promise<void> {
    return this.#store.sweep();
  }

  async #share(request: SessionRequest): Promise<SessionResponse[]> {
    const slot = this.#takeSlot();
    if (slot !== undefined) return this.#lead(request, slot);
    const endsAt = Date.now() + this.#deadlineMs;
    const outcome = await this.#wait(request);
    if (outcome !== undefined && "kind" in outcome) return [outcome];
    const led = outcome && this.#lead(request, outcome);
    // Others may have more time left than who leads them.
    if (led !== undefined) this.#background(led);
    const responses = await (led && settledWithin(endsAt - Date.now(), led));
    return responses ?? [failedResponse(request.kind, Status.Unavailable)];
  }

  #takeSlot(): Slot | undefined {
    const now = Date.now();
    for (const slot of this.#runs) if (slot.lostAt <= now) this.#runs.delete(slot);
    if (this.#runs.size >= Math.min(MAX_RUNS, Math.max(MIN_RUNS, this.#meanRunMs / WAIT_MS))) return undefined;
    const slot = { startedAt: now, lostAt: now + 2 * this.#deadlineMs };
    this.#runs.add(slot);
    return slot;
  }

  async #wait(request: SessionRequest): Promise<SessionResponse | Slot | undefined> {
    const { promise, resolve } = Promise.withResolvers<SessionResponse | Slot | undefined>();
    const read = { request, resolve };
    this.#waiting.add(read);
    // The runtime ends a request that waits for nothing but another's promise; with a timer it waits for something.
    const timer = setTimeout(() => {
      this.#waiting.delete(read);
      resolve(undefined);
    }, this.#deadlineMs);
    const outcome = await promise;
    clearTimeout(timer);
    return outcome;
  }

  /** Runs a request and all reads that wait, and hands its slot on. Gives the request's own response. */
  async #lead(request: SessionRequest, slot: Slot): Promise<SessionResponse[]> {
    const others = this.#takeWaiting(MAX_SHARED_READS - 1);
    try {
      const [own, ...responses] = await this.#store.run([request, ...others.map((read) => read.request)]);
      for (const [index, { resolve }] of others.entries()) resolve(responses[index]);
      return own === undefined ? [] : [own];
    } finally {
      this.#runs.delete(slot);
      this.#meanRunMs += (Date.now() - slot.startedAt - this.#meanRunMs) * NEWEST_WEIGHT;
      this.#letNextLead();
    }
  }

  #letNextLead(): void {
    if (this.#waiting.size === 0) return;
    const slot = this.#takeSlot();
    if (slot === undefined) return;
    for (const { resolve } of this.#takeWaiting(1)) resolve(slot);
  }

  #takeWaiting(count: number): WaitingRead[] {
    const taken = [...this.#waiting].slice(0, count);
    for (const read of taken) this.#waiting.delete(read);
    return taken;
  }
}
