import type { SessionResponse } from "../../../protocol/session-request.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import { sessionKey } from "../redis-keys.ts";
import { parseRecord } from "../redis-record.ts";
import { READ } from "../redis-scripts/read.ts";
import type { SessionPolicy } from "../session-store.ts";
import { type ReadRequest, readVerdict } from "../stored-session.ts";
import { parseLiveness } from "./liveness-text.ts";
import { MAX_READS_PER_CALL, type RedisAnswer, type RedisCall, type Touch } from "./redis-call.ts";
import { asList, asText } from "./reply-shape.ts";

/** A run of identifies, access checks and gets: one MGET. */
export class ReadCall implements RedisCall {
  readonly script = READ;
  readonly requests: ReadRequest[] = [];

  constructor(first: ReadRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (this.requests.length === MAX_READS_PER_CALL) return false;
    if (request.kind !== "identify" && request.kind !== "checkAccess" && request.kind !== "get") return false;
    this.requests.push(request);
    return true;
  }

  keys(): string[] {
    return this.requests.map(({ sessid }) => sessionKey(sessid));
  }

  args(policy: SessionPolicy): string[] {
    return [String(policy.touchIntervalMs), String(policy.maxMs)];
  }

  read(reply: unknown): RedisAnswer {
    const [text, ...records] = asList(reply);
    const liveness = parseLiveness(text, this.requests.length);
    const touches: Touch[] = [];
    const responses = this.requests.map((request, index): SessionResponse => {
      const stored = liveness.isLive(index) ? parseRecord(request.sessid, asText(records[index])) : null;
      const verdict = readVerdict(request, stored);
      if (verdict.used && liveness.touchIsDue(index)) touches.push({ sessid: request.sessid, at: liveness.now });
      return verdict.response;
    });
    return { responses, touches };
  }
}
