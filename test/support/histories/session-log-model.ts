import { DEFAULT_GRANTS, type SessionRequest } from "../../../protocol/session-request.ts";

/** What a log must say of one session, without position and time. */
export interface ModelEvent {
  readonly kind: "began" | "changed" | "ended";
  readonly reason: "deleted" | "expired" | "evicted" | null;
  readonly user: string | null;
}

interface LoggedSession {
  readonly sessid: number;
  readonly user: string | null;
  readonly grants: readonly string[];
  readonly secretHash: string | null;
  readonly idleMs: number;
  readonly createdAt: number;
  expiresAt: number;
}

export interface LogModelOptions {
  readonly idleMs: number;
  readonly maxMs: number;
  readonly maxSessionsPerUser: number;
  readonly limitPolicy: "reject" | "evict-oldest";
}

/**
 * What a store's log must say, from the requests alone: a map with a clock of its own, in which every use of a session moves its
 * expiry. It knows what the events of each session are, and in what order; not how those of two sessions are interleaved.
 */
export class SessionLogModel {
  readonly live = new Map<number, LoggedSession>();
  /** By sessid, since they were last taken. */
  #events = new Map<number, ModelEvent[]>();
  #now = 0;
  readonly #options: LogModelOptions;

  constructor(options: LogModelOptions) {
    this.#options = options;
  }

  advance(ms: number): void {
    this.#now += ms;
  }

  /** The events since the last call, by sessid. Whoever reads the log is told of all that has expired. */
  take(): Map<number, ModelEvent[]> {
    this.#expire();
    const events = this.#events;
    this.#events = new Map();
    return events;
  }

  /** Runs a batch. `issued` are the sessids that the store gave to its issues, null where it gave none. */
  run(batch: readonly SessionRequest[], issued: readonly (number | null)[]): void {
    this.#expire();
    // A touch is written after its batch, to the session that was used, unless that has ended or begun anew.
    const used = batch.map((request, index) => this.#execute(request, issued[index] ?? null));
    for (const session of used) {
      if (session === undefined || this.live.get(session.sessid) !== session) continue;
      const expiresAt = Math.min(this.#now + session.idleMs, session.createdAt + this.#options.maxMs);
      session.expiresAt = Math.max(session.expiresAt, expiresAt);
    }
  }

  /** Executes a request; returns the session that it used. */
  #execute(request: SessionRequest, issued: number | null): LoggedSession | undefined {
    switch (request.kind) {
      case "check":
      case "checkAccess":
        return this.live.get(request.sessid);
      case "identify": {
        const session = this.live.get(request.sessid);
        return session?.secretHash === request.secretHash ? session : undefined;
      }
      case "register":
        this.#register(request);
        return undefined;
      case "issue":
        if (issued !== null) this.#begin(issued, { ...request, secretHash: "of the store's own" });
        return undefined;
      case "delete": {
        const session = this.live.get(request.sessid);
        if (request.user !== undefined && session?.user !== request.user) return undefined;
        if (request.secretHash !== undefined && session?.secretHash !== request.secretHash) return undefined;
        this.#end(session, "deleted");
        return undefined;
      }
      case "deleteUser":
        for (const session of this.#sessionsOf(request.user)) {
          if (session.sessid !== request.except) this.#end(session, "deleted");
        }
        return undefined;
      default:
        return undefined;
    }
  }

  #register(request: Extract<SessionRequest, { kind: "register" }>): void {
    const { sessid, user } = request;
    const before = this.live.get(sessid);
    if (before === undefined) {
      this.#begin(sessid, request);
      return;
    }
    if (before.user !== user) return;
    const after = this.#sessionOf(sessid, request, before);
    this.live.set(sessid, after);
    const isChanged =
      JSON.stringify(after.grants) !== JSON.stringify(before.grants) ||
      after.secretHash !== before.secretHash ||
      after.expiresAt < before.expiresAt;
    if (isChanged) this.#tell(sessid, { kind: "changed", reason: null, user });
  }

  #begin(sessid: number, request: Beginning): void {
    const { user } = request;
    const { maxSessionsPerUser, limitPolicy } = this.#options;
    if (user !== null && maxSessionsPerUser > 0) {
      const own = this.#sessionsOf(user);
      const excess = own.length - maxSessionsPerUser + 1;
      if (excess > 0 && limitPolicy === "reject") return;
      for (const session of own.slice(0, Math.max(0, excess))) this.#end(session, "evicted");
    }
    this.live.set(sessid, this.#sessionOf(sessid, request, undefined));
    this.#tell(sessid, { kind: "began", reason: null, user });
  }

  #sessionOf(sessid: number, request: Beginning, before: LoggedSession | undefined): LoggedSession {
    const idleMs = request.idleMs ?? before?.idleMs ?? this.#options.idleMs;
    return {
      sessid,
      user: request.user,
      grants: request.grants ?? before?.grants ?? DEFAULT_GRANTS,
      secretHash: request.secretHash ?? before?.secretHash ?? null,
      idleMs,
      createdAt: this.#now,
      expiresAt: this.#now + Math.min(idleMs, this.#options.maxMs),
    };
  }

  /** The oldest first. */
  #sessionsOf(user: string): LoggedSession[] {
    const own = [...this.live.values()].filter((session) => session.user === user);
    return own.sort((a, b) => a.createdAt - b.createdAt || a.sessid - b.sessid);
  }

  #expire(): void {
    for (const session of this.live.values()) if (session.expiresAt <= this.#now) this.#end(session, "expired");
  }

  #end(session: LoggedSession | undefined, reason: ModelEvent["reason"]): void {
    if (session === undefined) return;
    this.live.delete(session.sessid);
    this.#tell(session.sessid, { kind: "ended", reason, user: session.user });
  }

  #tell(sessid: number, event: ModelEvent): void {
    this.#events.set(sessid, [...(this.#events.get(sessid) ?? []), event]);
  }
}

interface Beginning {
  readonly user: string | null;
  readonly grants?: readonly string[];
  readonly secretHash?: string;
  readonly idleMs?: number;
}
