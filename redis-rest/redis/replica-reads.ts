import { holdsNil } from "../http/rest-codec.ts";
import type { BatchOutcome, RedisCommand, RedisReply, RunBatch } from "./redis-connection.ts";
import { withinDeadline } from "./redis-connection.ts";
import type { ReplicaSet } from "./replica-set.ts";

/** What became of a batch of reads: all from a replica, some of it asked again at the primary, or all from the primary. */
export type ReplicaReadResult = "replica" | "asked_again" | "primary";

export interface ReplicaReadsOptions {
  readonly replicas: Pick<ReplicaSet, "pick">;
  readonly askPrimary: RunBatch;
  /** What a replica may take before the primary is asked, so that both fit the request's deadline. */
  readonly patienceMs: number;
  readonly onResult: (result: ReplicaReadResult) => void;
}

/** Runs a batch of commands that only read; the replica must have everything that was written before `notBeforeMs`. */
export type RunReads = (commands: readonly RedisCommand[], notBeforeMs: number) => Promise<BatchOutcome>;

/**
 * Reads from replicas, and asks again at the primary what a replica can't be trusted with: nil, or an array with a nil,
 * may be a key that has not arrived; an error may be a script that has not (NOSCRIPT), or a replica that is loading.
 */
export function createReplicaReads({ replicas, askPrimary, patienceMs, onResult }: ReplicaReadsOptions): RunReads {
  return async function runReads(commands, notBeforeMs) {
    const replica = replicas.pick(notBeforeMs);
    const outcome = replica === undefined ? undefined : await withinDeadline(replica.run(commands), patienceMs);
    if (outcome === undefined || outcome.kind === "unavailable") {
      onResult("primary");
      return askPrimary(replica === undefined ? commands : again(commands));
    }
    const doubtful = commands.filter((_, at) => isDoubtful(outcome.replies[at] ?? null));
    if (doubtful.length === 0) {
      onResult("replica");
      return outcome;
    }
    onResult("asked_again");
    const verdict = await askPrimary(doubtful);
    if (verdict.kind === "unavailable") return verdict;
    let next = 0;
    const replies = outcome.replies.map((reply) => (isDoubtful(reply) ? (verdict.replies[next++] ?? null) : reply));
    return { kind: "replies", replies };
  };
}

/** What the replica may still say does not count for the answer. */
function again(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const limit = commands[0]?.limit?.askAgain();
  return limit === undefined ? commands : commands.map((command) => ({ ...command, limit }));
}

function isDoubtful(reply: RedisReply): boolean {
  return reply instanceof Error || holdsNil(reply);
}
