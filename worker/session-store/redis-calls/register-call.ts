import type { RegisterRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import { SESSIONS_KEY, sessionKey, USERS_KEY, userKey } from "../redis-keys.ts";
import { REGISTER } from "../redis-scripts/register.ts";
import type { SessionPolicy } from "../session-store.ts";
import { creationPolicyArgs, idleText } from "./creation-args.ts";
import { ownerText, restText } from "./record-text.ts";
import { MAX_WRITES_PER_CALL, type RedisAnswer, type RedisCall } from "./redis-call.ts";
import { asCode, asInteger, asList } from "./reply-shape.ts";

/** What the script's codes mean, by their number. */
const OUTCOMES = [
  { status: Status.Ok, created: true },
  { status: Status.Ok, created: false },
  { status: Status.Conflict, created: false },
  { status: Status.TooMany, created: false },
] as const;

/** A run of registers. */
export class RegisterCall implements RedisCall {
  readonly script = REGISTER;
  readonly requests: RegisterRequest[] = [];

  constructor(first: RegisterRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "register" || this.requests.length === MAX_WRITES_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  keys(): string[] {
    return [
      SESSIONS_KEY,
      USERS_KEY,
      ...this.requests.flatMap(({ sessid, user }) => [sessionKey(sessid), userKey(user)]),
    ];
  }

  args(policy: SessionPolicy): string[] {
    return [
      ...creationPolicyArgs(policy),
      ...this.requests.flatMap((request) => [ownerText(request.user), restText(request), idleText(request.idleMs)]),
    ];
  }

  read(reply: unknown): RedisAnswer {
    const numbers = asList(reply);
    const responses = this.requests.map((_, index): SessionResponse => {
      const outcome = asCode(OUTCOMES, numbers[2 * index]);
      return { kind: "register", ...outcome, expiresAt: asInteger(numbers[2 * index + 1]) };
    });
    return { responses, touches: [] };
  }
}
