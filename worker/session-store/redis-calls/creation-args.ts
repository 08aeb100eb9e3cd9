import type { SessionPolicy } from "../session-store.ts";

/** The first ARGV of the scripts that create sessions. */
export function creationPolicyArgs(policy: SessionPolicy): string[] {
  return [
    String(policy.idleMs),
    String(policy.maxMs),
    String(policy.maxSessionsPerUser),
    policy.limitPolicy === "evict-oldest" ? "1" : "0",
  ];
}

/** A value as the scripts take it into a record: JSON, or "" for what is not there. */
export function jsonOrNothing(value: string | readonly string[] | null | undefined): string {
  return value === null || value === undefined ? "" : JSON.stringify(value);
}
