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

/** A live session as a store keeps it: what its readers see, and the hash of its token's secret, null without a token. */
export interface StoredSession {
  readonly session: Session;
  readonly secretHash: string | null;
}

/** A request whose verdict needs the whole session. */
export type ReadRequest = IdentifyRequest | CheckAccessRequest | GetRequest;

/** The verdict, and whether the request used the session: only a use slides its lifetime. */
export interface ReadVerdict {
  readonly response: SessionResponse;
  readonly used: boolean;
}

/**
 * What a read is answered, given the session if it lives. A wrong secret is NotFound, not Denied: who guesses learns nothing
 * about which sessids exist, and keeps nobody's session alive. A session whose grants do not suffice was used all the same.
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

function access(session: Session, resource: string | undefined): Status {
  return resource === undefined || grantsAllow(session.grants, resource) ? Status.Ok : Status.Denied;
}
