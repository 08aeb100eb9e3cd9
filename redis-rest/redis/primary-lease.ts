import type { BatchOutcome, RunBatch } from "./redis-connection.ts";
import type { ReplicatedWriter } from "./replicated-writer.ts";

export interface PrimaryLeaseOptions {
  /** Each group that it gets acknowledged is a proof. */
  readonly writer: Pick<ReplicatedWriter, "run" | "lastProof" | "unconfirmed">;
  /** The server that the guarded connection leads to now; undefined while not known. */
  readonly serverId: () => string | undefined;
  /** The age up to which a proof lets a read return at once. */
  readonly leaseMs: number;
}

/** While there are reads, a proof is renewed after this part of its life, so that the next one arrives before a read needs it. */
const RENEW_AT = 1 / 4;

const UNPROVEN: BatchOutcome = {
  kind: "unavailable",
  message: "NOREPLICAS too few replicas acknowledge the primary, which may have been replaced; try again",
};

/**
 * Holds back the replies of a primary that may have been replaced. The proof that it has not been replaced: enough replicas
 * have lately acknowledged a write that redis-rest sent there. A primary that is partitioned from its replicas, or that was
 * stopped and continues, still considers itself the primary and counts its replicas as connected for a minute
 * (`repl-timeout`); only an acknowledged write disproves that. The age of a proof counts from when the write was sent.
 *
 * While there are reads, a proof is renewed in parallel and delays none of them. Without a proof of the last `leaseMs`, or when
 * the read may show a write that the replicas have not acknowledged, the read waits for a proof that is sent after the read
 * was executed. So a slow second makes reads slow; they are unavailable only if that proof fails.
 */
export class PrimaryLease {
  readonly #options: PrimaryLeaseOptions;
  #isRenewing = false;

  constructor(options: PrimaryLeaseOptions) {
    this.#options = options;
  }

  /** Whether the last proof succeeded; asks for another one if not. */
  get isHeld(): boolean {
    const { writer } = this.#options;
    if (writer.lastProof !== undefined) return true;
    this.#renew();
    return false;
  }

  /** The same connection, with its replies held back. */
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
