import {
  type CheckAccessRequest,
  failedResponse,
  type GetRequest,
  grantsAllow,
  type IdentifyRequest,
  type Session,
  type SessionResponse,
} from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { sameSecret } from "./secrets.ts";
import type { SessionPolicy, SessionTimes } from "./session-lifetime.ts";

/** A live session as a store keeps it: what readers see, and the hash of its token's secret, null for one without a token. */
export interface StoredSession {
  readonly session: Session;
  readonly secretHash: string | null;
}

/** A request whose response needs the whole session. */
export type ReadRequest = IdentifyRequest | CheckAccessRequest | GetRequest;

/** The response to a read, and whether the read used the session: only a use renews it. */
export interface ReadVerdict {
  readonly response: SessionResponse;
  readonly used: boolean;
}

/**
 * The verdict of a read on a session, null if it does not live. A wrong secret is NotFound, not Denied: an attacker who guesses
 * does not learn which sessids exist, and renews no session. A read that the grants deny has used the session all the same.
 */
export function readVerdict(request: ReadRequest, stored: StoredSession | null): ReadVerdict {
  if (stored === null) return { response: failedResponse(request.kind, Status.NotFound), used: false };
  const { session, secretHash } = stored;
  switch (request.kind) {
    case "get":
      return { response: { kind: "get", status: Status.Ok, session }, used: false };
    case "checkAccess":
      return { response: { kind: "checkAccess", status: access(session, request.resource) }, used: true };
    case "identify":
      if (!sameSecret(secretHash, request.secretHash)) {
        return { response: failedResponse("identify", Status.NotFound), used: false };
      }
      return { response: { kind: "identify", status: access(session, request.resource), session }, used: true };
  }
}

/**
 * Whether the use of a session now makes a touch due: a write that moves its expiry. The Lua of the Redis store has the same
 * rule (redis/session-record.ts); one conformance suite holds both to it.
 */
export function touchIsDue(times: SessionTimes, now: number, policy: SessionPolicy): boolean {
  const elapsedMs = now - times.touchedAt;
  if (elapsedMs < policy.touchIntervalMs && elapsedMs < times.idleMs / 10) return false;
  return Math.min(now + times.idleMs, times.createdAt + policy.maxMs) > times.expiresAt;
}

/** The Ok response to a read as a bridge gets it, which may keep the session for so long. */
export function keepable(response: SessionResponse, session: Session, keepMs: number): SessionResponse {
  if (response.status !== Status.Ok) return response;
  if (response.kind === "identify") return { ...response, keepMs };
  return response.kind === "checkAccess" ? { ...response, keepMs, grants: session.grants } : response;
}

function access(session: Session, resource: string | undefined): Status {
  return resource === undefined || grantsAllow(session.grants, resource) ? Status.Ok : Status.Denied;
}
