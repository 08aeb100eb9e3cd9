import type { BatchOutcome, RedisCommand, RedisReply } from "./redis-connection.ts";

/** The commands between MULTI and EXEC, as one batch on one connection. */
export function transactionBatch(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const limit = commands[0]?.limit;
  const exec = limit === undefined ? { name: "EXEC", args: [] } : { name: "EXEC", args: [], limit };
  return [{ name: "MULTI", args: [] }, ...commands, exec];
}

/**
 * What the batch's replies say: a list with one reply a command, where some may be errors though all were executed; or
 * the one error of a transaction that Redis discarded as a whole.
 */
export function transactionReply(outcome: Extract<BatchOutcome, { kind: "replies" }>): readonly RedisReply[] | Error {
  const executed = outcome.replies.at(-1) ?? null;
  if (Array.isArray(executed)) return executed;
  const cause = outcome.replies.find((reply) => reply instanceof Error);
  const why = cause instanceof Error ? cause.message : "ERR the transaction was not executed";
  return new Error(`EXECABORT Transaction discarded because of previous errors: ${why}`);
}
