import type { Batch } from "./batch.ts";

/** A connection whose packets wait for the edge. */
export interface PacketSource {
  /** How many packets wait. */
  readonly waiting: number;

  /**
   * Moves packets from the front into the batch, at most `maxPackets` of `maxBytes` together; 0 is allowed. Until
   * {@link answered} nothing more is moved into another batch.
   */
  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void;

  /** Answers with Unavailable what came before `beforeMs` and still waits: the edge cannot be asked in time. */
  expire(beforeMs: number): void;

  /** The answers to all that this source moved into one batch, in order. */
  answered(answers: Uint8Array): void;
}
