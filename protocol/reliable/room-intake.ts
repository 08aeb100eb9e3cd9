import type { Publish } from "../player-packets.ts";
import type { RoomConnection } from "./room-connection.ts";
import type { RoomLimits } from "./room-limits.ts";
import { logMessageBytes, type RoomStorage } from "./room-storage.ts";
import { publishBytes, SEND_WINDOW } from "./send-window.ts";
import type { SenderRates } from "./sender-budget.ts";

/** What of all members together may wait; above it each may have its share of that, where that is less than its window. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** So long a member's messages are gathered that its budget lets through one by one. */
const DRAIN_INTERVAL_MS = 20;

/** So soon it is tried again at the latest: the rates of a full log may be over by then. */
const MAX_DRAIN_INTERVAL_MS = 1_000;

/** What a member's message needs to be taken in. */
export interface IntakeContext {
  readonly limits: RoomLimits;
  readonly storage: RoomStorage;
  readonly memberCount: () => number;
  /** Takes a message in; false if the connection does not count any more. */
  readonly accept: (connection: RoomConnection, publish: Publish, nowMs: number) => boolean;
}

/**
 * Lets members' messages into the room as fast as their budgets allow. What is beyond waits here without an Ack, so that a
 * client's window slows it down; more than a window does not wait.
 */
export class RoomIntake {
  readonly #context: IntakeContext;
  /** The rates of a log that is too full, for so many members. */
  #fair: { readonly members: number; readonly rates: SenderRates } | undefined;

  constructor(context: IntakeContext) {
    this.#context = context;
  }

  /** Takes a member's next message in, now or later; false if it has sent more than may wait. */
  publish(connection: RoomConnection, publish: Publish, nowMs: number): boolean {
    const { held, budget } = connection;
    if (held.length === 0) {
      if (budget?.takeMessage(logMessageBytes(publish.body), this.#rates(), nowMs) ?? true) {
        this.#context.accept(connection, publish, nowMs);
        return true;
      }
      connection.drainAtMs = this.#drainAtMs(connection, nowMs);
      connection.changed = true;
    }
    if (!this.#mayHold(connection, publish)) return false;
    held.add(publish);
    return true;
  }

  /** Takes in what waits of a member, as much as its budget allows now. */
  drain(connection: RoomConnection, nowMs: number): void {
    const { held, budget } = connection;
    if (held.length === 0 || nowMs < connection.drainAtMs) return;
    for (let next = held.first; next !== undefined; next = held.first) {
      if (budget?.takeMessage(logMessageBytes(next.body), this.#rates(), nowMs) === false) break;
      held.removeFirst();
      if (!this.#context.accept(connection, next, nowMs)) return;
    }
    connection.drainAtMs = this.#drainAtMs(connection, nowMs);
    if (held.length === 0) connection.changed = true;
  }

  #drainAtMs({ budget }: RoomConnection, nowMs: number): number {
    const readyMs = budget?.messageAtMs(this.#rates(), nowMs) ?? nowMs;
    return Math.min(Math.max(readyMs, nowMs + DRAIN_INTERVAL_MS), nowMs + MAX_DRAIN_INTERVAL_MS);
  }

  #mayHold({ held }: RoomConnection, { body }: Publish): boolean {
    if (held.length >= SEND_WINDOW.windowMessages) return false;
    if (held.windowBytes + publishBytes(body) > SEND_WINDOW.windowBytes) return false;
    return held.totalBytes < MAX_HELD_BYTES || held.memoryBytes < MAX_HELD_BYTES / this.#context.memberCount();
  }

  /**
   * What a member may send. When held seats keep the log half full, all members together may fill a quarter of it in the time
   * for which it is kept, and each of them its share of that.
   */
  #rates(): SenderRates {
    const { storage, limits } = this.#context;
    const { sender, log } = limits;
    if (storage.bytes <= Math.max(log.maxBytes, log.maxNeededBytes / 2)) return sender;
    const members = Math.max(1, this.#context.memberCount());
    if (this.#fair?.members !== members) {
      // A burst and what comes after it are in the log together.
      const burst = log.maxNeededBytes / 8 / members;
      const perSecond = burst / (log.neededMs / 1000);
      const { bytes } = sender;
      const fairBytes = { burst: Math.min(bytes.burst, burst), perSecond: Math.min(bytes.perSecond, perSecond) };
      this.#fair = { members, rates: { ...sender, bytes: fairBytes } };
    }
    return this.#fair.rates;
  }
}
