import type { BatchOutcome, RunBatch } from "./redis-connection.ts";
import type { ReplicatedWriter } from "./replicated-writer.ts";

export interface PrimaryLeaseOptions {
  /** Its acknowledged groups are the proofs. */
  readonly writer: Pick<ReplicatedWriter, "run" | "lastProof" | "unconfirmed">;
  /** Which server the guarded connection leads to now; undefined while that is not known. */
  readonly serverId: () => string | undefined;
  /** How old a proof may be with which a read is answered at once. */
  readonly leaseMs: number;
}

/** A proof is renewed, while reads come, at this part of its life: it has the rest to arrive before any read waits for it. */
const RENEW_AT = 1 / 4;

const UNPROVEN: BatchOutcome = {
  kind: "unavailable",
  message: "NOREPLICAS too few replicas acknowledge the primary, which may have been replaced; try again",
};

/**
 * Holds back what a primary answers unless it is proven that it has not been replaced: so many replicas have lately
 * acknowledged something that was written there after redis-rest had asked. A primary that a partition has left with
 * redis-rest, or that was stopped and goes on, still takes itself for the primary, and counts replicas as connected for a
 * minute (`repl-timeout`); only a write that they acknowledge tells, and its age counts from when it was sent.
 *
 * While reads come a proof is renewed beside them, and costs them nothing. When there is no proof of the last `leaseMs`, or
 * a write that the read may show is still on its way to the replicas, the read waits for a proof that is sent after it
 * was executed: a slow second makes reads slow and not unavailable. They are, when that proof fails.
 */
export class PrimaryLease {
  readonly #options: PrimaryLeaseOptions;
  #isRenewing = false;

  constructor(options: PrimaryLeaseOptions) {
    this.#options = options;
  }

  /** Whether reads can be answered as far as is known; asks again if not. */
  get isHeld(): boolean {
    const { writer } = this.#options;
    if (writer.lastProof !== undefined) return true;
    this.#renew();
    return false;
  }

  /** The same connection, whose answers are held back. */
  guard(run: RunBatch): RunBatch {
    const { writer, serverId, leaseMs } = this.#options;
    return async (commands) => {
      const server = serverId();
      const outcome = await run(commands);
      if (outcome.kind === "unavailable") return outcome;
      const ageMs = this.#proofAgeMs(server);
      if (ageMs > leaseMs || writer.unconfirmed.mayShowIn(commands)) return this.#confirmed(outcome, server);
      if (ageMs > leaseMs * RENEW_AT) this.#renew();
      return outcome;
    };
  }

  async #confirmed(outcome: BatchOutcome, server: string | undefined): Promise<BatchOutcome> {
    const { writer, leaseMs } = this.#options;
    const proof = await writer.run([]);
    if (proof.kind === "replies" && this.#proofAgeMs(server) <= leaseMs) return outcome;
    return UNPROVEN;
  }

  /** Infinity when there is none for that server. */
  #proofAgeMs(server: string | undefined): number {
    const { lastProof } = this.#options.writer;
    if (lastProof === undefined || server === undefined || lastProof.server !== server) return Number.POSITIVE_INFINITY;
    return lastProof.ageMs();
  }

  #renew(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    void this.#options.writer.run([]).then(() => {
      this.#isRenewing = false;
    });
  }
}
