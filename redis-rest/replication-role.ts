import type { BatchOutcome, RedisReply } from "./redis-connection.ts";

/** What ROLE answers at a primary: its position, and the replicas that are in step with it. */
export interface PrimaryRole {
  readonly offset: number;
  readonly replicas: readonly { readonly host: string; readonly port: number }[];
}

export const ROLE_COMMAND = { name: "ROLE", args: [] };

/** Parses `["master", offset, [[host, port, acknowledged], ...]]`; null for anything else. */
export function parsePrimaryRole(outcome: BatchOutcome): PrimaryRole | null {
  const [role, offset, replicas] = firstReply(outcome);
  if (textOf(role) !== "master" || !Array.isArray(replicas)) return null;
  return {
    offset: Number(textOf(offset)),
    replicas: replicas
      .filter(Array.isArray)
      .map(([host, port]) => ({ host: textOf(host), port: Number(textOf(port)) })),
  };
}

/**
 * Parses `["slave", host, port, state, offset]` into the offset it has applied; null when it is not connected to its
 * primary, or no replica at all.
 */
export function parseReplicaOffset(outcome: BatchOutcome): number | null {
  const [role, , , state, offset] = firstReply(outcome);
  return textOf(role) === "slave" && textOf(state) === "connected" ? Number(textOf(offset)) : null;
}

function firstReply(outcome: BatchOutcome): readonly RedisReply[] {
  const reply = outcome.kind === "replies" ? outcome.replies[0] : undefined;
  return Array.isArray(reply) ? reply : [];
}

function textOf(reply: RedisReply | undefined): string {
  return typeof reply === "string" || Buffer.isBuffer(reply) ? reply.toString() : "";
}
