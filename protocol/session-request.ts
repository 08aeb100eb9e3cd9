import { TOKEN_BYTES } from "./session-token.ts";
import type { Status } from "./status-codes.ts";

/**
 * What can be asked of the session store. One value on its whole way: a packet or a JSON route makes it, the store takes
 * it, and its response goes back the same way (docs/architecture.md).
 *
 * `sessid` is an int32 other than 0. `user` is 1..128 bytes of UTF-8, null for an anonymous session. `ip` is an IPv4 or
 * IPv6 address, null if unknown.
 */
export type SessionRequest = ServiceRequest | IdentifyRequest | GetRequest | ListUserRequest | DeleteUserRequest;

/** The requests that have a packet (docs/wire-protocol.md, "Service packets"). */
export type ServiceRequest =
  | CheckRequest
  | RegisterRequest
  | DeleteRequest
  | CountRequest
  | IssueRequest
  | CheckAccessRequest;

/** Does the session live? Slides its lifetime. */
export interface CheckRequest {
  readonly kind: "check";
  readonly sessid: number;
}

/** What the creator of a session may choose; absent means the default, or on a refresh what the session has. */
export interface SessionChoice {
  readonly grants?: readonly string[];
  /** Idle lifetime in ms. */
  readonly idleMs?: number;
}

/** Creates the session `sessid`, or refreshes it if the same user has it. */
export interface RegisterRequest extends SessionChoice {
  readonly kind: "register";
  readonly sessid: number;
  readonly user: string | null;
  readonly ip: string | null;
  /** SHA-256 of the new token's secret, base64url; absent, a session keeps the token it has. */
  readonly secretHash?: string;
}

/** Ends a session: Denied if `user` is given and another has it, or if `secretHash` is given and is not the session's. */
export interface DeleteRequest {
  readonly kind: "delete";
  readonly sessid: number;
  readonly user?: string;
  readonly secretHash?: string;
}

/** How many sessions live, and how many distinct users have one. */
export interface CountRequest {
  readonly kind: "count";
}

/** Creates a session with a random sessid and a token. */
export interface IssueRequest extends SessionChoice {
  readonly kind: "issue";
  readonly user: string | null;
  readonly ip: string | null;
}

/** Check, then the session's grants against `resource`. */
export interface CheckAccessRequest {
  readonly kind: "checkAccess";
  readonly sessid: number;
  readonly resource: string;
}

/** Whose session is this token's? NotFound unless the secret is the session's. Slides its lifetime. */
export interface IdentifyRequest {
  readonly kind: "identify";
  readonly sessid: number;
  /** SHA-256 of the token's secret, base64url. */
  readonly secretHash: string;
  /** Denied if the session's grants do not allow it. */
  readonly resource?: string;
}

/** The whole session. Does not slide its lifetime. */
export interface GetRequest {
  readonly kind: "get";
  readonly sessid: number;
}

/** All live sessions of a user. */
export interface ListUserRequest {
  readonly kind: "listUser";
  readonly user: string;
}

/** Ends all sessions of a user, but `except`. */
export interface DeleteUserRequest {
  readonly kind: "deleteUser";
  readonly user: string;
  readonly except?: number;
}

/** A live session, as its readers see it. Times are epoch milliseconds. */
export interface Session {
  readonly sessid: number;
  readonly user: string | null;
  readonly ip: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly grants: readonly string[];
}

/** The answer to a request of the same `kind`. Fields besides `status` are 0, empty or null unless it is Ok. */
export type SessionResponse =
  | ServiceResponse
  | IdentifyResponse
  | { readonly kind: "get"; readonly status: Status; readonly session: Session | null }
  | { readonly kind: "listUser"; readonly status: Status; readonly sessions: readonly Session[] }
  | { readonly kind: "deleteUser"; readonly status: Status; readonly deleted: number };

/** The answers that have a packet. */
export type ServiceResponse =
  | { readonly kind: "check"; readonly status: Status }
  | RegisterResponse
  | { readonly kind: "delete"; readonly status: Status }
  | { readonly kind: "count"; readonly status: Status; readonly sessions: number; readonly users: number }
  | IssueResponse
  | { readonly kind: "checkAccess"; readonly status: Status };

export interface RegisterResponse {
  readonly kind: "register";
  readonly status: Status;
  /** Whether the session was new: false for a refresh. The packet does not carry it. */
  readonly created: boolean;
  /** Epoch ms. The packet does not carry it. */
  readonly expiresAt: number;
}

export interface IssueResponse {
  readonly kind: "issue";
  readonly status: Status;
  readonly sessid: number;
  /** 20 bytes (protocol/session-token.ts). */
  readonly token: Uint8Array;
  /** Epoch ms. The packet does not carry it. */
  readonly expiresAt: number;
}

export interface IdentifyResponse {
  readonly kind: "identify";
  readonly status: Status;
  /** The session if it lives, Denied included. */
  readonly session: Session | null;
}

/** The response to a request of kind `K`. */
export type ResponseTo<K extends SessionRequest["kind"]> = Extract<SessionResponse, { kind: K }>;

/** What a session that was registered without grants may do: everything. */
export const DEFAULT_GRANTS: readonly string[] = ["*"];

/** A grant is an exact resource name, or a prefix that ends in `*`; `*` alone is everything. */
export function grantsAllow(grants: readonly string[], resource: string): boolean {
  return grants.some((grant) => (grant.endsWith("*") ? resource.startsWith(grant.slice(0, -1)) : grant === resource));
}

/** The response that says only why: `status`, and every other field 0, empty or null. */
export function failedResponse(kind: SessionRequest["kind"], status: Status): SessionResponse {
  switch (kind) {
    case "check":
    case "delete":
    case "checkAccess":
      return { kind, status };
    case "register":
      return { kind, status, created: false, expiresAt: 0 };
    case "count":
      return { kind, status, sessions: 0, users: 0 };
    case "issue":
      return { kind, status, sessid: 0, token: new Uint8Array(TOKEN_BYTES), expiresAt: 0 };
    case "identify":
    case "get":
      return { kind, status, session: null };
    case "listUser":
      return { kind, status, sessions: [] };
    case "deleteUser":
      return { kind, status, deleted: 0 };
  }
}
