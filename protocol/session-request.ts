import { TOKEN_BYTES } from "./session-token.ts";
import type { Status } from "./status-codes.ts";

/**
 * A request to the session store. A packet or a JSON route is decoded to one of these, the store executes it, and its response is
 * encoded as a packet or as JSON (docs/architecture.md, "Request flow").
 *
 * `sessid` is an int32 other than 0. `user` has 1..128 bytes of UTF-8, null for an anonymous session. `ip` is an IPv4 or IPv6
 * address, null if unknown.
 */
export type SessionRequest =
  | CheckRequest
  | RegisterRequest
  | DeleteRequest
  | CountRequest
  | IssueRequest
  | CheckAccessRequest
  | IdentifyRequest
  | GetRequest
  | ListUserRequest
  | DeleteUserRequest;

/** The most requests in one batch: packets in a `POST /v1/packets`, sessids in a check over JSON (docs/http-api.md). */
export const MAX_BATCH_REQUESTS = 1000;

/** The requests that have a packet, with what it carries (docs/wire-protocol.md, "Service packets"). */
export type ServiceRequest = PlainServiceRequest | IdentifyTokenRequest;

/** Those that the store executes as they are decoded. */
export type PlainServiceRequest =
  | CheckRequest
  | RegisterPlainRequest
  | DeleteOfUserRequest
  | CountRequest
  | IssuePlainRequest
  | CheckAccessRequest;

/** Ok if the session exists, and then renews its idle lifetime; otherwise NotFound. */
export interface CheckRequest {
  readonly kind: "check";
  readonly sessid: number;
}

/** Options of a new session. Absent: the default, or on a refresh what the session has. */
export interface SessionChoice {
  readonly grants?: readonly string[];
  /** Idle lifetime in ms. */
  readonly idleMs?: number;
}

/** Creates the session `sessid`, or refreshes it if it belongs to the same user; Conflict if it belongs to another. */
export interface RegisterRequest extends SessionChoice {
  readonly kind: "register";
  readonly sessid: number;
  readonly user: string | null;
  readonly ip: string | null;
  /** SHA-256 of the new token's secret, base64url. Absent: a refreshed session keeps its token. */
  readonly secretHash?: string;
}

/** A {@link RegisterRequest} as its packet carries it. The session may do everything: only HTTP gives grants. */
export interface RegisterPlainRequest {
  readonly kind: "register";
  readonly sessid: number;
  /** 1..128 bytes of UTF-8. */
  readonly user: string;
  /** An IPv4 address. IPv6 has no room in the packet: the session's address is unknown then, as with null. */
  readonly ip: string | null;
}

/** Deletes a session. Denied if `user` is given and it belongs to another, or if `secretHash` is given and is not the session's. */
export interface DeleteRequest {
  readonly kind: "delete";
  readonly sessid: number;
  readonly user?: string;
  readonly secretHash?: string;
}

/** A {@link DeleteRequest} as its packet carries it. */
export interface DeleteOfUserRequest {
  readonly kind: "delete";
  readonly sessid: number;
  /** Denied if the session belongs to another. */
  readonly user: string;
}

/** Counts the sessions, and the distinct users that have one. */
export interface CountRequest {
  readonly kind: "count";
}

/** Creates a session with a random sessid and a token. */
export interface IssueRequest extends SessionChoice {
  readonly kind: "issue";
  readonly user: string | null;
  readonly ip: string | null;
}

/** An {@link IssueRequest} as its packet carries it. The session may do everything: only HTTP gives grants. */
export interface IssuePlainRequest {
  readonly kind: "issue";
  /** 1..128 bytes of UTF-8. */
  readonly user: string;
  /** An IPv4 address. IPv6 has no room in the packet: the session's address is unknown then, as with null. */
  readonly ip: string | null;
}

/** As a check; Denied if the session exists but its grants do not allow `resource`. */
export interface CheckAccessRequest {
  readonly kind: "checkAccess";
  readonly sessid: number;
  readonly resource: string;
}

/** Returns the session of a token and renews its idle lifetime. NotFound unless the secret is the session's. */
export interface IdentifyRequest {
  readonly kind: "identify";
  readonly sessid: number;
  /** SHA-256 of the token's secret, base64url. */
  readonly secretHash: string;
  /** Denied if the session's grants do not allow it. */
  readonly resource?: string;
}

/** An {@link IdentifyRequest} as its packet carries it: the store never sees the token's secret, only its hash. */
export interface IdentifyTokenRequest {
  readonly kind: "identify";
  /** 20 bytes (protocol/session-token.ts). */
  readonly token: Uint8Array<ArrayBuffer>;
  /** Denied if the session's grants do not allow it. */
  readonly resource?: string;
}

/** Returns a session without renewing its idle lifetime. */
export interface GetRequest {
  readonly kind: "get";
  readonly sessid: number;
}

/** Returns all sessions of a user. */
export interface ListUserRequest {
  readonly kind: "listUser";
  readonly user: string;
}

/** Deletes all sessions of a user but the session `except`. */
export interface DeleteUserRequest {
  readonly kind: "deleteUser";
  readonly user: string;
  readonly except?: number;
}

/** A session as the store returns it. Times are epoch milliseconds. */
export interface Session {
  readonly sessid: number;
  readonly user: string | null;
  readonly ip: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly grants: readonly string[];
}

/** The response to a request of the same `kind`. Unless `status` is Ok, all other fields are 0, empty or null. */
export type SessionResponse =
  | CheckResponse
  | RegisterResponse
  | DeleteResponse
  | CountResponse
  | IssueResponse
  | CheckAccessResponse
  | IdentifyResponse
  | { readonly kind: "get"; readonly status: Status; readonly session: Session | null }
  | { readonly kind: "listUser"; readonly status: Status; readonly sessions: readonly Session[] }
  | { readonly kind: "deleteUser"; readonly status: Status; readonly deleted: number };

/** The responses that have a packet, with what it carries. */
export type ServiceResponse =
  | { readonly kind: "check"; readonly status: Status }
  | { readonly kind: "register"; readonly status: Status }
  | DeleteResponse
  | CountResponse
  | Omit<IssueResponse, "expiresAt">
  | { readonly kind: "checkAccess"; readonly status: Status }
  | IdentifyTokenResponse;

/** What a bridge may keep of an Ok response. Absent unless asked for (worker/session-store/session-store.ts, RunOptions). */
interface Keepable {
  /** For so long, whole seconds in ms, the session may be found live without asking the store again; 0: not at all. */
  readonly keepMs?: number;
}

export interface CheckResponse extends Keepable {
  readonly kind: "check";
  readonly status: Status;
}

export interface CheckAccessResponse extends Keepable {
  readonly kind: "checkAccess";
  readonly status: Status;
  /** All grants of the session. Absent unless `keepMs` is there. */
  readonly grants?: readonly string[];
}

export interface RegisterResponse {
  readonly kind: "register";
  readonly status: Status;
  /** Whether the session was new: false for a refresh. */
  readonly created: boolean;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export interface DeleteResponse {
  readonly kind: "delete";
  readonly status: Status;
}

export interface CountResponse {
  readonly kind: "count";
  readonly status: Status;
  readonly sessions: number;
  readonly users: number;
}

export interface IssueResponse {
  readonly kind: "issue";
  readonly status: Status;
  readonly sessid: number;
  /** 20 bytes (protocol/session-token.ts). */
  readonly token: Uint8Array<ArrayBuffer>;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export interface IdentifyResponse extends Keepable {
  readonly kind: "identify";
  readonly status: Status;
  /** The session if it exists, also when `status` is Denied. */
  readonly session: Session | null;
}

/** The response to an {@link IdentifyTokenRequest}. */
export interface IdentifyTokenResponse {
  readonly kind: "identify";
  readonly status: Status;
  /** Whose token it is; null unless `status` is Ok. */
  readonly session: { readonly sessid: number; readonly user: string } | null;
}

/** The store's response to a request of kind `K`. */
export type ResponseTo<K extends SessionRequest["kind"]> = Extract<SessionResponse, { kind: K }>;

/** The response, as its packet carries it, to a request of kind `K`. */
export type ServiceResponseTo<K extends ServiceRequest["kind"]> = Extract<ServiceResponse, { kind: K }>;

/** A response without a result: `status`, and all other fields 0, empty or null. */
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

/** The grants of a session that was registered without any: it may do everything. */
export const DEFAULT_GRANTS: readonly string[] = ["*"];

/** Whether one of the grants allows `resource`. A grant is an exact resource name, or a prefix that ends in `*`. */
export function grantsAllow(grants: readonly string[], resource: string): boolean {
  return grants.some((grant) => (grant.endsWith("*") ? resource.startsWith(grant.slice(0, -1)) : grant === resource));
}
