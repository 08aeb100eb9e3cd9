import { failedResponse, type SessionRequest, type SessionResponse } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { LogPage, LogRead } from "./session-log.ts";
import {
  type EndedSessions,
  type RunOptions,
  type SessionStore,
  STORE_DEADLINE_MS,
  settledWithin,
} from "./session-store.ts";

/**
 * Runs in progress at which the next reads wait for one of them. Their number follows the store's latency, so that a read
 * waits for about 5 ms: the fewer runs there are, the more reads share one.
 */
const MIN_RUNS = 2;
const MAX_RUNS = 16;
const WAIT_MS = 5;

/** The weight of the newest run in the mean latency. */
const NEWEST_WEIGHT = 1 / 8;

/** Reads in one run; records of 64 grants with 512 bytes each make a reply of 3.2 MB. */
const MAX_SHARED_READS = 100;

const READS: ReadonlySet<SessionRequest["kind"]> = new Set(["check", "identify", "checkAccess", "get"]);

export interface CoalescingStoreOptions {
  readonly store: SessionStore;
  /**
   * Keeps a read alive when its client has gone, because other reads wait for the run that it leads or is about to lead: the
   * Workers runtime's `waitUntil`.
   */
  readonly background: (work: Promise<unknown>) => void;
  readonly deadlineMs?: number;
}

/** A place among the runs in progress. The slot of a request that the runtime aborted is free at `lostAt`. Epoch ms. */
interface Slot {
  readonly startedAt: number;
  readonly lostAt: number;
}

/** A read that waits: for its response, for the slot in which it leads the next run, or for its deadline (undefined). */
interface WaitingRead {
  readonly request: SessionRequest;
  readonly resolve: (outcome: SessionResponse | Slot | undefined) => void;
}

/**
 * A store whose concurrent reads share round trips: single reads of many HTTP requests in one isolate reach the store behind it
 * in batches. Batches, writes and what comes from bridges are passed on as they come.
 *
 * A Worker's I/O belongs to the request that began it, so each run is led by one of the requests that wait for it: it runs its
 * own read and all that wait, and then hands its slot to the next.
 */
export class CoalescingStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #background: CoalescingStoreOptions["background"];
  readonly #deadlineMs: number;
  readonly #runs = new Set<Slot>();
  readonly #waiting = new Set<WaitingRead>();
  /** Begins high, so that no read waits long before the latency is known. */
  #meanLatencyMs = MAX_RUNS * WAIT_MS;

  constructor({ store, background, deadlineMs = STORE_DEADLINE_MS }: CoalescingStoreOptions) {
    this.#store = store;
    this.#background = background;
    this.#deadlineMs = deadlineMs;
  }

  async run(requests: readonly SessionRequest[], options?: RunOptions): Promise<SessionResponse[]> {
    const [request] = requests;
    if (request === undefined || requests.length > 1 || !READS.has(request.kind) || options?.forBridge) {
      return this.#store.run(requests, options);
    }
    const responses = this.#coalesce(request);
    this.#background(responses);
    return responses;
  }

  readLog(read: LogRead): Promise<LogPage> {
    return this.#store.readLog(read);
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

  async #coalesce(request: SessionRequest): Promise<SessionResponse[]> {
    const slot = this.#takeSlot();
    if (slot !== undefined) return this.#lead(request, slot);
    const endsAt = Date.now() + this.#deadlineMs;
    const outcome = await this.#wait(request);
    if (outcome !== undefined && "kind" in outcome) return [outcome];
    const led = outcome && this.#lead(request, outcome);
    // Other reads of the run may have more time left than the one that leads it.
    if (led !== undefined) this.#background(led);
    const responses = await (led && settledWithin(endsAt - Date.now(), led));
    return responses ?? [failedResponse(request.kind, Status.Unavailable)];
  }

  #takeSlot(): Slot | undefined {
    const now = Date.now();
    for (const slot of this.#runs) if (slot.lostAt <= now) this.#runs.delete(slot);
    if (this.#runs.size >= Math.min(MAX_RUNS, Math.max(MIN_RUNS, this.#meanLatencyMs / WAIT_MS))) return undefined;
    const slot = { startedAt: now, lostAt: now + 2 * this.#deadlineMs };
    this.#runs.add(slot);
    return slot;
  }

  async #wait(request: SessionRequest): Promise<SessionResponse | Slot | undefined> {
    const { promise, resolve } = Promise.withResolvers<SessionResponse | Slot | undefined>();
    const read = { request, resolve };
    this.#waiting.add(read);
    // The runtime aborts a request that waits only for the promise of another request; a timer of its own prevents that.
    const timer = setTimeout(() => {
      this.#waiting.delete(read);
      resolve(undefined);
    }, this.#deadlineMs);
    const outcome = await promise;
    clearTimeout(timer);
    return outcome;
  }

  /** Runs a request and the reads that wait, and hands its slot on. Returns the request's own response. */
  async #lead(request: SessionRequest, slot: Slot): Promise<SessionResponse[]> {
    const others = this.#takeWaiting(MAX_SHARED_READS - 1);
    try {
      const [own, ...responses] = await this.#store.run([request, ...others.map((read) => read.request)]);
      for (const [index, { resolve }] of others.entries()) resolve(responses[index]);
      return own === undefined ? [] : [own];
    } finally {
      this.#runs.delete(slot);
      this.#meanLatencyMs += (Date.now() - slot.startedAt - this.#meanLatencyMs) * NEWEST_WEIGHT;
      this.#handSlotOn();
    }
  }

  #handSlotOn(): void {
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
