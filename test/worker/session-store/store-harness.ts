import type { SessionPolicy } from "../../../worker/session-store/session-lifetime.ts";
import type { AwaitAcknowledgements } from "../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../worker/session-store/session-store.ts";

/** The options of every kind of store. */
export interface StoreOptions {
  readonly deadlineMs?: number;
  readonly logEntries?: number;
  readonly awaitAcknowledgements?: AwaitAcknowledgements;
}

/** A kind of store, as the conformance suite needs it. All the stores that it opens share their sessions. */
export interface StoreHarness {
  open(policy?: Partial<SessionPolicy>, options?: StoreOptions): SessionStore;
  /** The idle time of its sessions, which a slow machine does not use up. */
  readonly idleMs: number;
  /** Whether the clock stands still between two calls of `advance`, so that a test can tell milliseconds apart. */
  readonly isClockStill: boolean;
  /** The store's clock, epoch ms. */
  now(): Promise<number>;
  /** Moves the store's clock forward by `ms`, at once. */
  advance(ms: number): Promise<void>;
  /** Resolves when the touches that checks left behind are written. */
  settle(): Promise<void>;
  /** What is wrong inside the store while nothing in it has expired; none if all is well. */
  faults(): Promise<string[]>;
  /** Removes every session. */
  clear(): Promise<void>;
}

/** For the tests' stores, so that a slow machine does not make them Unavailable. */
export const PATIENT_DEADLINE_MS = 30_000;

/** Every check is a touch, and a user may have any number of sessions, unless a test says otherwise. */
export function testPolicy(idleMs: number, policy: Partial<SessionPolicy> = {}): SessionPolicy {
  return {
    idleMs,
    maxMs: 48 * idleMs,
    touchIntervalMs: 0,
    maxSessionsPerUser: 0,
    limitPolicy: "reject",
    ...policy,
  };
}
