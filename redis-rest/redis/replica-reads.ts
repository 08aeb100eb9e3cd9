import type { BatchOutcome, RedisCommand, RedisReply, RunBatch } from "./redis-connection.ts";
import { withinDeadline } from "./redis-connection.ts";
import type { ReplicaSet } from "./replica-set.ts";

/** Where the replies to a batch of reads came from: a replica, the primary for some of them (`asked_again`), or the primary. */
export type ReplicaReadResult = "replica" | "asked_again" | "primary";

export interface ReplicaReadsOptions {
  readonly replicas: Pick<ReplicaSet, "pick">;
  readonly askPrimary: RunBatch;
  /** The time that a replica has before the primary is asked; both must fit the request's deadline. */
  readonly patienceMs: number;
  readonly onResult: (result: ReplicaReadResult) => void;
}

/** Runs a batch of commands that only read; the replica must have everything that was written before `notBeforeMs`. */
export type RunReads = (commands: readonly RedisCommand[], notBeforeMs: number) => Promise<BatchOutcome>;

/**
 * Reads from replicas, and asks the primary again where a replica's reply is doubtful: nil, or an array with a nil, may be a
 * key that has not arrived; an error may be a script that has not (NOSCRIPT), or a replica that is loading.
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

/** A late reply of the replica does not count towards the limit of the response. */
function again(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const limit = commands[0]?.limit?.askAgain();
  return limit === undefined ? commands : commands.map((command) => ({ ...command, limit }));
}

function isDoubtful(reply: RedisReply): boolean {
  return reply instanceof Error || holdsNil(reply);
}

/** Whether a reply is nil or has one anywhere inside. */
function holdsNil(reply: RedisReply): boolean {
  return reply === null || (Array.isArray(reply) && reply.some(holdsNil));
}
