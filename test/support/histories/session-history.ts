import { DEFAULT_GRANTS, grantsAllow } from "../../../protocol/session-request.ts";
import type { StatusName } from "../../../protocol/status-codes.ts";
import type { Model, Operation } from "./linearizability.ts";

/*
 * What callers were told about sessions, as histories that are checked session by session. The model is the promise of
 * docs/architecture.md ("What a bridge may say from memory"), and allows nothing else.
 */

/** What was asked. `token` is a token's text. */
export type SessionCall =
  | { readonly kind: "check"; readonly sessid: number }
  | { readonly kind: "get"; readonly sessid: number }
  | { readonly kind: "checkAccess"; readonly sessid: number; readonly resource: string }
  | { readonly kind: "identify"; readonly sessid: number; readonly token: string; readonly resource: string | null }
  /** With `grants` null a session keeps its own; `renewsToken` is so over HTTP. */
  | {
      readonly kind: "register";
      readonly sessid: number;
      readonly user: string;
      readonly grants: readonly string[] | null;
      readonly renewsToken: boolean;
    }
  | { readonly kind: "issue"; readonly user: string; readonly grants: readonly string[] | null }
  /** `user` null: whoever has the session. */
  | { readonly kind: "delete"; readonly sessid: number; readonly user: string | null }
  | { readonly kind: "list" | "deleteUser"; readonly user: string };

/** What came back, as far as this kind of response says it. */
export interface SessionAnswer {
  readonly status: StatusName;
  readonly user?: string;
  readonly grants?: readonly string[];
  /** Of a register: whether the session was new. */
  readonly created?: boolean;
  /** Of a register or an issue. */
  readonly token?: string;
  /** Of an issue. */
  readonly sessid?: number;
  /** Of a list: the grants of each session. */
  readonly sessions?: ReadonlyMap<number, readonly string[]>;
}

/** A call as it was made. Times are ms of one clock. */
export interface RecordedCall {
  readonly client: string;
  /** Whether it may have been answered from a bridge's memory. */
  readonly throughBridge: boolean;
  readonly call: SessionCall;
  /** Undefined: Unavailable, or no response. */
  readonly answer: SessionAnswer | undefined;
  readonly calledAt: number;
  /** Infinity without an answer. */
  readonly returnedAt: number;
}

/** What holds in a deployment. */
export interface SessionRules {
  /** REVOCATION_BOUND_MS. */
  readonly boundMs: number;
  /** SESSION_LIMIT_POLICY: a new session may end another one of its user. */
  readonly evicts: boolean;
  /** A session ends so long after it was created or refreshed, whatever is asked of it; null: after any history. */
  readonly lifetimeMs: number | null;
  /** Connections between bridges and workers break: a write that is repeated may take effect twice before it is answered. */
  readonly repeats: boolean;
}

/** A call as one session sees it: to others of its user, a new session may be the end. */
export type SessionInput = SessionEffect | { readonly kind: "again"; readonly effect: SessionEffect };

type SessionEffect = SessionCall | { readonly kind: "evict"; readonly user: string };

export type SessionOperation = Operation<SessionInput, SessionAnswer>;

/** The history of each session that any call was about. */
export function sessionHistories(
  calls: readonly RecordedCall[],
  rules: SessionRules,
): ReadonlyMap<string, readonly SessionOperation[]> {
  const sessids = new Set(calls.flatMap(({ call, answer }) => sessidOf(call, answer) ?? []));
  return new Map([...sessids].map((sessid) => [`session ${sessid}`, historyOf(sessid, calls, rules)]));
}

function historyOf(sessid: number, calls: readonly RecordedCall[], rules: SessionRules): readonly SessionOperation[] {
  const seen = calls.flatMap((recorded) => {
    const input = inputOf(sessid, recorded, rules);
    if (input === undefined) return [];
    const { client, throughBridge, answer, calledAt, returnedAt } = recorded;
    const operation = { client, input, output: answer && answerAbout(sessid, input, answer), calledAt, returnedAt };
    const again = { ...operation, input: { kind: "again", effect: input } as const };
    const isRepeated = rules.repeats && throughBridge && !READS.has(input.kind) && input.kind !== "issue";
    return (isRepeated ? [operation, again] : [operation]).map((one) => ({ throughBridge, operation: one }));
  });
  const ends = seen.map(({ operation }) => operation).filter(({ input }) => mayEndOrChange(input));
  return seen.map(({ throughBridge, operation }) => {
    const isFromMemory = throughBridge && CHECKS.has(operation.input.kind) && operation.output?.status === "Ok";
    return isFromMemory ? { ...operation, countsFrom: countsFrom(operation, ends, rules) } : operation;
  });
}

/**
 * An Ok that a bridge gave counts as if it was called as early as the oldest end or change that was not answered yet at its
 * call, but at most the bound before its call.
 */
function countsFrom(
  { calledAt, returnedAt }: SessionOperation,
  ends: readonly SessionOperation[],
  { boundMs }: SessionRules,
): number {
  const unanswered = ends.filter((end) => end.calledAt < returnedAt && end.returnedAt > calledAt);
  const oldest = Math.min(...unanswered.map((end) => end.calledAt));
  return Math.min(calledAt, Math.max(calledAt - boundMs, oldest));
}

const READS: ReadonlySet<SessionInput["kind"]> = new Set(["check", "checkAccess", "identify", "get", "list"]);

/** What a bridge may answer from memory. */
const CHECKS: ReadonlySet<SessionInput["kind"]> = new Set(["check", "checkAccess", "identify"]);

function sessidOf(call: SessionCall, answer: SessionAnswer | undefined): number | undefined {
  return "sessid" in call ? call.sessid : answer?.sessid;
}

function inputOf(sessid: number, { call, answer }: RecordedCall, { evicts }: SessionRules): SessionEffect | undefined {
  if (call.kind === "list" || call.kind === "deleteUser" || sessidOf(call, answer) === sessid) return call;
  if (!evicts || (call.kind !== "register" && call.kind !== "issue")) return undefined;
  const begins = answer === undefined || (answer.status === "Ok" && answer.created !== false);
  return begins ? { kind: "evict", user: call.user } : undefined;
}

/** A list tells of each session whether the user has it, and with which grants. */
function answerAbout(sessid: number, input: SessionInput, { sessions, ...answer }: SessionAnswer): SessionAnswer {
  if (input.kind !== "list" || answer.status !== "Ok") return answer;
  const grants = sessions?.get(sessid);
  return grants === undefined ? { status: "NotFound" } : { status: "Ok", user: input.user, grants };
}

function mayEndOrChange(input: SessionInput): boolean {
  if (input.kind === "register") return input.grants !== null || input.renewsToken;
  return input.kind === "delete" || input.kind === "deleteUser" || input.kind === "evict";
}

interface LiveSession {
  readonly user: string;
  readonly grants: readonly string[];
  readonly token: string | null;
  /** Between which times it expires; null: never. */
  readonly expiresBetween: readonly [number, number] | null;
}

/** Redis counts whole milliseconds, on another clock than the recorder. */
const CLOCK_MS = 20;

/** One session: no state, or JSON of a live session. */
export function sessionModel({ lifetimeMs }: SessionRules): Model<string | null, SessionInput, SessionAnswer> {
  return {
    initial: null,
    isRead: ({ kind }) => READS.has(kind),
    step(state, operation) {
      const session = state === null ? null : (JSON.parse(state) as LiveSession);
      const after = mayLive(session, operation) ? leave(session, operation) : [];
      // It may have expired just before, and the operation have found none.
      const expired = mayHaveExpired(session, operation) ? leave(null, operation) : [];
      return [...new Set([...after, ...expired].map((left) => left && JSON.stringify(left)))];
    },
    describe: ({ input, output = { status: "Unavailable" } }) => `${words(input)} -> ${words(output)}`,
  };

  /** What the operation leaves of the session; nothing if it cannot have had its output. */
  function leave(session: LiveSession | null, operation: SessionOperation): readonly (LiveSession | null)[] {
    const { input, output } = operation;
    switch (input.kind) {
      case "list":
        // To a list, a session of another user is none.
        return fits(output, session?.user === input.user ? okOf(session) : NOT_FOUND) ? [session] : [];
      case "check":
      case "get":
        return fits(output, session === null ? NOT_FOUND : okOf(session)) ? [session] : [];
      case "checkAccess":
        return fits(output, session === null ? NOT_FOUND : verdict(session, input.resource)) ? [session] : [];
      case "identify": {
        const isIts = session !== null && session.token === input.token;
        return fits(output, isIts ? verdict(session, input.resource) : NOT_FOUND) ? [session] : [];
      }
      case "register":
      case "issue":
        return begin(session, operation, input);
      case "delete":
        if (session !== null && input.user !== null && session.user !== input.user) {
          return fits(output, DENIED) ? [session] : [];
        }
        // NotFound is also the answer to a repetition of a delete whose first answer was lost.
        return output?.status === "Denied" || (output?.status === "Ok" && session === null) ? [] : [null];
      case "deleteUser":
        return [session?.user === input.user ? null : session];
      case "evict":
        return session?.user === input.user ? [null, session] : [session];
      case "again":
        return [session, ...leave(session, { ...operation, input: input.effect, output: undefined })];
    }
  }

  function begin(
    session: LiveSession | null,
    { output, calledAt, returnedAt }: SessionOperation,
    input: Extract<SessionCall, { kind: "register" | "issue" }>,
  ): readonly (LiveSession | null)[] {
    if (session !== null && (session.user !== input.user || input.kind === "issue")) {
      return fits(output, CONFLICT) ? [session] : [];
    }
    if (output !== undefined && output.status !== "Ok") return [];
    if (session !== null && output?.created === true) return [];
    const renewsToken = input.kind === "issue" || input.renewsToken;
    return [
      {
        user: input.user,
        grants: input.grants ?? session?.grants ?? DEFAULT_GRANTS,
        // Nobody can show a token that was not received.
        token: renewsToken ? (output?.token ?? `not received, ${calledAt}`) : (session?.token ?? null),
        expiresBetween: lifetimeMs === null ? null : [calledAt + lifetimeMs, returnedAt + lifetimeMs],
      },
    ];
  }
}

type Verdict = Pick<SessionAnswer, "status" | "user" | "grants">;

const NOT_FOUND: Verdict = { status: "NotFound" };
const DENIED: Verdict = { status: "Denied" };
const CONFLICT: Verdict = { status: "Conflict" };

function okOf({ user, grants }: LiveSession): Verdict {
  return { status: "Ok", user, grants };
}

function verdict(session: LiveSession, resource: string | null): Verdict {
  return resource === null || grantsAllow(session.grants, resource) ? okOf(session) : DENIED;
}

/** Whether a response says nothing else than the verdict; no response does. */
function fits(output: SessionAnswer | undefined, { status, user, grants }: Verdict): boolean {
  if (output === undefined) return true;
  if (output.status !== status) return false;
  return (output.user ?? user) === user && String(output.grants ?? grants) === String(grants);
}

function mayLive(session: LiveSession | null, { calledAt }: SessionOperation): boolean {
  const expiresBefore = session?.expiresBetween?.[1] ?? Number.POSITIVE_INFINITY;
  return calledAt <= expiresBefore + CLOCK_MS;
}

function mayHaveExpired(session: LiveSession | null, { returnedAt }: SessionOperation): boolean {
  const expiresAfter = session?.expiresBetween?.[0] ?? Number.POSITIVE_INFINITY;
  return returnedAt >= expiresAfter - CLOCK_MS;
}

/** The values alone: "register 7 kim ["room:a"] Ok". Tokens are told apart by their ends. */
function words(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify(value);
  if (typeof value === "object" && value !== null) {
    const values = Object.values(value).filter((one) => one !== null && typeof one !== "boolean");
    return values.map(words).join(" ");
  }
  return typeof value === "string" && value.length === 27 ? `token ..${value.slice(-4)}` : String(value);
}
