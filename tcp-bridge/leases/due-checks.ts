import type { LeasedSessions } from "../../protocol/leases/leased-sessions.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writeServiceRequest } from "../../protocol/service-packets.ts";
import { type Batch, Lane, type PacketSource } from "../edge/batch.ts";
import type { BatchDispatcher } from "../edge/batch-dispatcher.ts";
import type { HubConnection } from "./hub-connection.ts";

/** Sessions that have become due are collected this often. */
const TICK_MS = 250;

/** All kept sessions can be asked again in this time; they become due over 15 s or more of a keep of 30 s. */
const FULL_TURN_MS = 10_000;

/** SessionCheckRequest: size, type, sessid. */
const CHECK_BYTES = 2 + 2 + 4;

/** Half of a batch: the other half is the clients'. One batch at a time has such packets. */
const MAX_PER_BATCH = 500;

/**
 * Checks sessions again that the bridge keeps and that are in use, before they may not be kept any longer. So a session in use is
 * answered from memory without a pause, and its idle lifetime starts anew. The checks go in the batches of the clients' checks.
 */
export class DueChecks implements PacketSource {
  readonly lane = Lane.Read;
  readonly #sessions: LeasedSessions;
  readonly #now: () => number;
  readonly #dispatcher: BatchDispatcher;
  readonly #maxPerTick: number;
  #due: number[] = [];
  /** How many may still be sent in this tick. */
  #left = 0;
  #inFlight = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `maxSessions`: how many sessions the bridge keeps. */
  constructor({ sessions, kept }: HubConnection, dispatcher: BatchDispatcher, maxSessions: number) {
    this.#sessions = sessions;
    this.#now = () => kept.now();
    this.#dispatcher = dispatcher;
    this.#maxPerTick = Math.ceil((maxSessions * TICK_MS) / FULL_TURN_MS);
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#due = [];
    this.#dispatcher.remove(this);
  }

  get waiting(): number {
    return Math.min(this.#due.length, this.#left, MAX_PER_BATCH - this.#inFlight);
  }

  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void {
    const count = Math.min(this.waiting, maxPackets, Math.floor(maxBytes / CHECK_BYTES));
    if (count === 0) return;
    const writer = new ByteWriter(count * CHECK_BYTES);
    for (const sessid of this.#due.splice(0, count)) writeServiceRequest(writer, { kind: "check", sessid });
    batch.add(this, writer.finish(), count, performance.now());
    this.#left -= count;
    this.#inFlight += count;
  }

  /** No client waits for them. */
  expire(): void {}

  /** What the responses say has been kept already (KeptSessions). */
  receiveResponses(): void {
    this.#inFlight = 0;
    if (this.waiting > 0) this.#dispatcher.enqueue(this);
  }

  #tick(): void {
    const due = this.#sessions.takeDue(this.#now());
    // What could not be asked in a whole turn is not in the memory any more.
    if (this.#due.length < this.#maxPerTick * (FULL_TURN_MS / TICK_MS)) this.#due.push(...due);
    this.#left = this.#maxPerTick;
    if (this.#inFlight === 0 && this.waiting > 0) this.#dispatcher.enqueue(this);
  }
}
