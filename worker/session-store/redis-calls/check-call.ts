import type { CheckRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import { sessionKey } from "../redis-keys.ts";
import { CHECK } from "../redis-scripts/check.ts";
import type { SessionPolicy } from "../session-store.ts";
import { parseLiveness } from "./liveness-text.ts";
import { MAX_READS_PER_CALL, type RedisAnswer, type RedisCall, type Touch } from "./redis-call.ts";
import { asList } from "./reply-shape.ts";

/** A run of checks: one MGET. */
export class CheckCall implements RedisCall {
  readonly script = CHECK;
  readonly requests: CheckRequest[] = [];

  constructor(first: CheckRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "check" || this.requests.length === MAX_READS_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  keys(): string[] {
    return this.requests.map(({ sessid }) => sessionKey(sessid));
  }

  args(policy: SessionPolicy): string[] {
    return [String(policy.touchIntervalMs), String(policy.maxMs), String(policy.idleMs)];
  }

  read(reply: unknown): RedisAnswer {
    const liveness = parseLiveness(asList(reply)[0], this.requests.length);
    const touches: Touch[] = [];
    const responses = this.requests.map(({ sessid }, index): SessionResponse => {
      if (liveness.touchIsDue(index)) touches.push({ sessid, at: liveness.now });
      return { kind: "check", status: liveness.isLive(index) ? Status.Ok : Status.NotFound };
    });
    return { responses, touches };
  }
}
