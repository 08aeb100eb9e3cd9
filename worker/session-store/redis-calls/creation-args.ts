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

/** An idle lifetime as the scripts take it, "" for the default. */
export function idleText(idleMs: number | undefined): string {
  return idleMs === undefined ? "" : String(idleMs);
}
