import type { Session, SessionRequest, SessionResponse } from "../../protocol/session-request.ts";
import type { LogPage, LogRead } from "./session-log.ts";
import type { EndedSessions, RunOptions, SessionStore } from "./session-store.ts";

/**
 * The age that no cached entry is served beyond, whatever its caller accepts: the bound that docs/http-api.md, "/v1/check",
 * gives for a revoke to be seen everywhere.
 */
export const MAX_CACHE_AGE_SECONDS = 5;

/** Bounds the cache: about 4096 * (1 KiB of grants + 0.5 KiB) = 6 MiB of an isolate's 128. */
const MAX_SESSIONS = 4096;
const MAX_GRANTS_CHARACTERS = 1024;

/** A session as the store returned it. */
export interface CacheEntry {
  readonly session: Session;
  /** The secret itself, not its hash: the client sends it again, and this is memory, not storage. */
  readonly secret: Uint8Array<ArrayBuffer>;
  /** Epoch ms at which the store was asked: its response is no older. */
  readonly askedAt: number;
}

/** A lookup in the store whose response is still to come. */
export interface PendingLookup {
  readonly sessid: number;
  readonly askedAt: number;
}

/**
 * Sessions that this isolate has lately looked up, for the callers of `/v1/check` that accept a response of some age
 * (docs/http-api.md). Only live sessions with a user are cached, never the absence of one. A session that is revoked through
 * this isolate is dropped before the revoke is answered ({@link CacheInvalidatingStore}).
 *
 * A response may be out of date when it arrives: the store has read the session, then executed a revoke, and the response to
 * the revoke has arrived first. So every lookup is announced with {@link begin}, and an invalidation cancels the pending
 * lookups that it may concern.
 */
export class SessionCache {
  /** By sessid. A Map keeps the order of insertion, so the first entry is the oldest. */
  readonly #entries = new Map<number, CacheEntry>();
  readonly #pending = new Set<PendingLookup>();

  /** The entry, if the secret is right, the session lives at `now` (epoch ms), and the entry is at most `maxAgeMs` old. */
  get(sessid: number, secret: Uint8Array<ArrayBuffer>, maxAgeMs: number, now: number): CacheEntry | undefined {
    const entry = this.#entries.get(sessid);
    if (entry === undefined || !crypto.subtle.timingSafeEqual(entry.secret, secret)) return undefined;
    const isFresh = maxAgeMs > 0 && now - entry.askedAt <= maxAgeMs;
    return isFresh && entry.session.expiresAt > now ? entry : undefined;
  }

  /** Announces a lookup before the store is asked; {@link put} ends it. */
  begin(sessid: number, now: number): PendingLookup {
    // Nothing ends the lookup of a request that the runtime aborted; a response that old would not be served anyway.
    for (const oldest of this.#pending) {
      if (now - oldest.askedAt <= MAX_CACHE_AGE_SECONDS * 1000) break;
      this.#pending.delete(oldest);
    }
    const lookup = { sessid, askedAt: now };
    this.#pending.add(lookup);
    return lookup;
  }

  /** Ends a lookup with the store's response, null if there is no session; caches it unless the lookup was cancelled. */
  put(lookup: PendingLookup, session: Session | null, secret: Uint8Array<ArrayBuffer>): void {
    if (!this.#pending.delete(lookup) || session === null || session.user === null) return;
    if (session.grants.reduce((sum, grant) => sum + grant.length, 0) > MAX_GRANTS_CHARACTERS) return;
    this.#entries.delete(lookup.sessid);
    this.#entries.set(lookup.sessid, { session, secret, askedAt: lookup.askedAt });
    if (this.#entries.size <= MAX_SESSIONS) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  /** Drops these sessions and all sessions of these users, and cancels the pending lookups that may be theirs. */
  invalidate(sessids: ReadonlySet<number>, users: ReadonlySet<string>): void {
    for (const sessid of sessids) this.#entries.delete(sessid);
    if (users.size > 0) {
      for (const [sessid, { session }] of this.#entries) {
        if (session.user !== null && users.has(session.user)) this.#entries.delete(sessid);
      }
    }
    for (const lookup of this.#pending) {
      // The user of a pending lookup is not known yet.
      if (users.size > 0 || sessids.has(lookup.sessid)) this.#pending.delete(lookup);
    }
  }

  /** Drops every session and cancels every pending lookup. */
  invalidateAll(): void {
    this.#entries.clear();
    this.#pending.clear();
  }
}

/**
 * Invalidates cached sessions that a run has ended or changed, before its caller gets the responses. Every revoke takes this
 * way: by a service, a packet, a logout or the cap on a user's sessions.
 */
export class CacheInvalidatingStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #cache: SessionCache;
  readonly #evicts: boolean;

  /** @param evicts whether a new session may end others of its user (SESSION_LIMIT_POLICY) */
  constructor(store: SessionStore, cache: SessionCache, evicts: boolean) {
    this.#store = store;
    this.#cache = cache;
    this.#evicts = evicts;
  }

  async run(requests: readonly SessionRequest[], options?: RunOptions): Promise<SessionResponse[]> {
    const responses = await this.#store.run(requests, options);
    // Whatever the responses say: a delete without a response in time may have been executed.
    this.#invalidate(requests);
    return responses;
  }

  readLog(read: LogRead): Promise<LogPage> {
    return this.#store.readLog(read);
  }

  async endAll(): Promise<EndedSessions> {
    try {
      return await this.#store.endAll();
    } finally {
      this.#cache.invalidateAll();
    }
  }

  ping(): Promise<boolean> {
    return this.#store.ping();
  }

  sweep(): Promise<void> {
    return this.#store.sweep();
  }

  #invalidate(requests: readonly SessionRequest[]): void {
    const sessids = new Set<number>();
    const users = new Set<string>();
    for (const request of requests) {
      if (request.kind === "delete" || request.kind === "register") sessids.add(request.sessid);
      if (request.kind === "deleteUser") users.add(request.user);
      const creates = request.kind === "issue" || request.kind === "register";
      if (creates && this.#evicts && request.user !== null) users.add(request.user);
    }
    if (sessids.size > 0 || users.size > 0) this.#cache.invalidate(sessids, users);
  }
}
