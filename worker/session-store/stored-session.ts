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

/** The Ok response to a read as a bridge gets it, which may keep the session for so long. */
export function keepable(response: SessionResponse, session: Session, keepMs: number): SessionResponse {
  if (response.status !== Status.Ok) return response;
  if (response.kind === "identify") return { ...response, keepMs };
  return response.kind === "checkAccess" ? { ...response, keepMs, grants: session.grants } : response;
}

function access(session: Session, resource: string | undefined): Status {
  return resource === undefined || grantsAllow(session.grants, resource) ? Status.Ok : Status.Denied;
}
