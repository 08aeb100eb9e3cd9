import type { RegisterRequest, SessionRequest } from "../../../protocol/session-request.ts";
import { DEFAULT_GRANTS, grantsAllow } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";

/** A session, as its readers see it. */
export interface ModelSession {
  readonly user: string | null;
  readonly ip: string | null;
  readonly grants: readonly string[];
}

interface LiveSession extends ModelSession {
  readonly secretHash: string | null;
}

/** A store's right response, without its times: they follow its own clock. */
export interface ModelResponse {
  readonly status: Status;
  readonly created?: boolean;
  readonly deleted?: number;
  readonly counted?: readonly [sessions: number, users: number];
  readonly session?: ModelSession | null;
  /** Ascending. */
  readonly sessids?: readonly number[];
}

/** What a request other than an issue asks, whose sessid only the store knows. */
export type ModelRequest = Exclude<SessionRequest, { kind: "issue" }>;

/**
 * What docs/architecture.md says of sessions ("Sessions") in the fewest lines, for stores to be compared with: a map, without a
 * clock or an index. A user's sessions over the cap are rejected.
 */
export class SessionModel {
  readonly live = new Map<number, LiveSession>();
  readonly #cap: number;

  constructor(cap: number) {
    this.#cap = cap;
  }

  respond(request: ModelRequest): ModelResponse {
    switch (request.kind) {
      case "check":
        return { status: this.live.has(request.sessid) ? Status.Ok : Status.NotFound };
      case "register":
        return this.#register(request);
      case "delete": {
        const session = this.live.get(request.sessid);
        if (session === undefined) return { status: Status.NotFound };
        if (request.user !== undefined && session.user !== request.user) return { status: Status.Denied };
        if (request.secretHash !== undefined && session.secretHash !== request.secretHash) {
          return { status: Status.Denied };
        }
        this.live.delete(request.sessid);
        return { status: Status.Ok };
      }
      case "count":
        return { status: Status.Ok, counted: [this.live.size, this.users.size] };
      case "checkAccess": {
        const session = this.live.get(request.sessid);
        if (session === undefined) return { status: Status.NotFound };
        return { status: grantsAllow(session.grants, request.resource) ? Status.Ok : Status.Denied };
      }
      case "identify": {
        const session = this.live.get(request.sessid);
        if (session?.secretHash !== request.secretHash) return { status: Status.NotFound, session: null };
        const allowed = request.resource === undefined || grantsAllow(session.grants, request.resource);
        return { status: allowed ? Status.Ok : Status.Denied, session: view(session) };
      }
      case "get": {
        const session = this.live.get(request.sessid);
        return session === undefined
          ? { status: Status.NotFound, session: null }
          : { status: Status.Ok, session: view(session) };
      }
      case "listUser":
        return { status: Status.Ok, sessids: this.sessidsOf(request.user) };
      case "deleteUser": {
        const sessids = this.sessidsOf(request.user).filter((sessid) => sessid !== request.except);
        for (const sessid of sessids) this.live.delete(sessid);
        return { status: Status.Ok, deleted: sessids.length };
      }
    }
  }

  /** Whether an issue must succeed; then {@link live} has to be told of it. */
  admits(user: string | null): boolean {
    return user === null || this.#cap === 0 || this.sessidsOf(user).length < this.#cap;
  }

  get users(): ReadonlySet<string> {
    return new Set([...this.live.values()].flatMap(({ user }) => user ?? []));
  }

  /** In ascending order. */
  sessidsOf(user: string): number[] {
    const sessids = [...this.live].filter(([, session]) => session.user === user).map(([sessid]) => sessid);
    return sessids.sort((a, b) => a - b);
  }

  #register({ sessid, user, ip, grants, secretHash }: RegisterRequest): ModelResponse {
    const before = this.live.get(sessid);
    if (before !== undefined && before.user !== user) return refused(Status.Conflict);
    if (before === undefined && !this.admits(user)) return refused(Status.TooMany);
    this.live.set(sessid, {
      user,
      ip,
      grants: grants ?? before?.grants ?? DEFAULT_GRANTS,
      secretHash: secretHash ?? before?.secretHash ?? null,
    });
    return { status: Status.Ok, created: before === undefined };
  }
}

function refused(status: Status): ModelResponse {
  return { status, created: false };
}

function view({ user, ip, grants }: LiveSession): ModelSession {
  return { user, ip, grants };
}
