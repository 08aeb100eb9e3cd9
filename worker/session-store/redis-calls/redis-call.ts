import type { SessionResponse } from "../../../protocol/session-request.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import type { RedisScript } from "../redis-scripts/redis-script.ts";
import type { SessionPolicy } from "../session-store.ts";

/**
 * One call of a script for one or more requests of a batch that follow each other. A call begins with a request and takes
 * more while the script can serve them together.
 */
export interface RedisCall {
  /** The requests in it, in their order. */
  readonly requests: readonly PreparedRequest[];
  readonly script: RedisScript;

  /** Takes the batch's next request, or refuses it: then it begins another call. */
  add(request: PreparedRequest): boolean;
  keys(): string[];
  args(policy: SessionPolicy): string[];
  /** What the script's reply says about the requests; throws when the reply is none of its script's. */
  read(reply: unknown): RedisAnswer;
}

export interface RedisAnswer {
  /** One per request, in their order. */
  readonly responses: SessionResponse[];
  /** The sessions whose lifetime slides now. */
  readonly touches: readonly Touch[];
}

/** A check at `at`, epoch ms by Redis's clock, for which a touch is due. */
export interface Touch {
  readonly sessid: number;
  readonly at: number;
}

/** Fits a call's keys into Lua's stack, and is the largest batch of docs/http-api.md. */
export const MAX_READS_PER_CALL = 1000;

/** Redis serves nobody else while a script runs: 100 writes take it one to two milliseconds. */
export const MAX_WRITES_PER_CALL = 100;
