import { DurableObject } from "cloudflare:workers";
import {
  type CheckRequest,
  DEFAULT_GRANTS,
  type DeleteRequest,
  type DeleteUserRequest,
  failedResponse,
  type RegisterRequest,
  type SessionResponse,
} from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { sameSecret } from "../secrets.ts";
import { firstExpiry, keepMsOf, type SessionPolicy, type SessionTimes } from "../session-lifetime.ts";
import type { EndReason, Leases, LoggedChange, LogPage, LogRead } from "../session-log.ts";
import type { EndedSessions, PreparedIssue, PreparedRequest, RunOptions } from "../session-store.ts";
import { keepable, type ReadRequest, readVerdict, touchIsDue } from "../stored-session.ts";
import { EmbeddedLeases, EmbeddedLog, EmbeddedWatch } from "./embedded-log.ts";
import { EmbeddedTable, type RemovedSession, type SessionRow } from "./embedded-table.ts";

/** What a run of requests needs to know besides them. */
export interface RunSettings extends RunOptions {
  readonly policy: SessionPolicy;
  readonly logEntries: number;
  readonly isRepeat: boolean;
}

/** What a run did. Its caller waits for the bridges of these leases, of which there are none if no bridge need hear of it. */
export interface EmbeddedOutcome {
  readonly responses: SessionResponse[];
  readonly leases: Leases;
  /** For how long somebody watches; absent if nobody does, or this need not be told. Not among the leases: see {@link EmbeddedWatch}. */
  readonly watchMs?: number;
}

/** What one step of the end of all sessions did. */
export interface EndedStep extends EndedSessions, Pick<EmbeddedOutcome, "leases" | "watchMs"> {}

/** What one step of a sweep did. */
export interface SweptStep extends Pick<EmbeddedOutcome, "watchMs"> {
  readonly mayHaveMore: boolean;
}

/** The touches that a run has left to be written. */
interface PendingTouches {
  readonly sessids: ReadonlySet<number>;
  /** Epoch ms of the checks. */
  readonly at: number;
  readonly policy: SessionPolicy;
}

/** Expired rows that a writing run removes, and that one step of a sweep or one read of the log removes. */
const MAX_TRIMMED_PER_RUN = 100;
const MAX_TRIMMED_PER_STEP = 1000;

/** Sessions that one step of `endAll` removes; checks are served between two steps. */
const MAX_ENDED_PER_STEP = 1000;

/** The Durable Object that keeps all sessions, in its SQLite. What it holds in memory may be lost at any time. */
export class EmbeddedSessions extends DurableObject {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #table: EmbeddedTable;
  readonly #log: EmbeddedLog;
  readonly #leases: EmbeddedLeases;
  readonly #watch: EmbeddedWatch;
  readonly #pendingTouches: PendingTouches[] = [];

  constructor(state: DurableObjectState, env: unknown) {
    super(state, env as Cloudflare.Env);
    this.#table = new EmbeddedTable(state.storage.sql);
    this.#log = new EmbeddedLog(state.storage.sql);
    this.#leases = new EmbeddedLeases(state.storage.sql);
    this.#watch = new EmbeddedWatch(state.storage.sql);
  }

  /** Executes the requests in their order; all of them, or none if it throws. */
  run(requests: readonly PreparedRequest[], settings: RunSettings): EmbeddedOutcome {
    const now = this.nowMs();
    const { policy, logEntries } = settings;
    return this.ctx.storage.transactionSync(() => {
      const run = new Run(this.#table, settings, now);
      const responses = requests.map((request) => run.execute(request));
      const expired = run.changes.length > 0 ? this.#table.trim(now, MAX_TRIMMED_PER_RUN) : [];
      this.#log.append([...run.changes, ...expired.map(expiryOf)], now, logEntries);
      if (run.touches.size > 0) this.#touchLater({ sessids: run.touches, at: now, policy });
      if (!run.mayRevoke) return { responses, leases: new Map() };
      return { responses, leases: this.#leases.running(now), ...this.#watch.running(now) };
    });
  }

  /** Does nothing: an object that responds is there. */
  ping(): boolean {
    return true;
  }

  /** Reads the log, after it has written the ends of what has expired. */
  readLog(read: LogRead, logEntries: number): LogPage {
    const now = this.nowMs();
    return this.ctx.storage.transactionSync(() => {
      const mayHaveMore = this.#trim(now, logEntries) === MAX_TRIMMED_PER_STEP;
      if (read.lease !== undefined) this.#leases.extend(read.lease, now);
      if (read.watchMs !== undefined) this.#watch.extend(read.watchMs, now);
      const page = this.#log.read(read, now);
      return page.kind === "events" && mayHaveMore ? { ...page, more: true } : page;
    });
  }

  /** Removes some of the expired rows. */
  sweep(logEntries: number): SweptStep {
    const now = this.nowMs();
    return this.ctx.storage.transactionSync(() => {
      const expired = this.#trim(now, logEntries);
      return { mayHaveMore: expired === MAX_TRIMMED_PER_STEP, ...(expired > 0 && this.#watch.running(now)) };
    });
  }

  /** Ends some of the sessions. It is complete if none is left. */
  endSome(logEntries: number): EndedStep {
    const now = this.nowMs();
    return this.ctx.storage.transactionSync(() => {
      const removed = this.#table.deleteSome(MAX_ENDED_PER_STEP);
      const live = removed.filter(({ expires }) => expires > now);
      const expired = removed.filter(({ expires }) => expires <= now);
      const ended = live.map(({ sessid, user }): LoggedChange => ["deleted", sessid, user]);
      this.#log.append([...expired.map(expiryOf), ...ended], now, logEntries);
      const complete = removed.length < MAX_ENDED_PER_STEP;
      return { ended: live.length, complete, leases: this.#leases.running(now), ...this.#watch.running(now) };
    });
  }

  /** Writes the pending touches. A session that has ended or begun anew since its check is left as it is. */
  applyTouches(): void {
    const now = this.nowMs();
    for (const { sessids, at, policy } of this.#pendingTouches.splice(0)) {
      for (const sessid of sessids) this.#table.touch(sessid, at, now, policy.touchIntervalMs, policy.maxMs);
    }
  }

  /** Removes some of the expired rows, and writes these ends. Returns how many. */
  #trim(now: number, logEntries: number): number {
    const expired = this.#table.trim(now, MAX_TRIMMED_PER_STEP);
    this.#log.append(expired.map(expiryOf), now, logEntries);
    return expired.length;
  }

  /** A response waits until everything written before it is durable, so a check's touch is written after its response. */
  #touchLater(touches: PendingTouches): void {
    if (this.#pendingTouches.push(touches) === 1) setTimeout(() => this.applyTouches(), 0);
  }
}

function expiryOf({ sessid, user, expires }: RemovedSession): LoggedChange {
  return ["expired", sessid, user, expires];
}

/**
 * One run of requests on the table, all at one moment, `now` (epoch ms). It collects the touches that are due, and what the log
 * has to say.
 */
class Run {
  /** The sessids of live sessions that were used, and for which a touch is due. */
  readonly touches = new Set<number>();
  /** What became of sessions, in order. */
  readonly changes: LoggedChange[] = [];
  /** Whether bridges may still answer by the state of a session that this run, or its earlier attempt, has ended or changed. */
  mayRevoke = false;
  readonly #table: EmbeddedTable;
  readonly #settings: RunSettings;
  readonly #now: number;

  constructor(table: EmbeddedTable, settings: RunSettings, now: number) {
    this.#table = table;
    this.#settings = settings;
    this.#now = now;
  }

  execute(request: PreparedRequest): SessionResponse {
    switch (request.kind) {
      case "check":
        return this.#check(request);
      case "identify":
      case "checkAccess":
      case "get":
        return this.#read(request);
      case "register":
        this.mayRevoke ||= this.#settings.isRepeat;
        return this.#register(request);
      case "issue":
        this.mayRevoke ||= this.#settings.isRepeat;
        return this.#issue(request);
      case "delete":
        // Whatever its status: an earlier one, whose response was lost, may have ended the session.
        this.mayRevoke = true;
        return { kind: "delete", status: this.#delete(request) };
      case "listUser":
        return {
          kind: "listUser",
          status: Status.Ok,
          sessions: this.#listUser(request.user).map((row) => row.session),
        };
      case "deleteUser":
        this.mayRevoke = true;
        return { kind: "deleteUser", status: Status.Ok, deleted: this.#deleteUser(request) };
      case "count":
        return {
          kind: "count",
          status: Status.Ok,
          sessions: this.#table.countSessions(this.#now),
          users: this.#table.countUsers(this.#now),
        };
    }
  }

  #find(sessid: number): SessionRow | null {
    return this.#ifLive(this.#table.find(sessid));
  }

  #listUser(user: string): SessionRow[] {
    return this.#table.listUser(user, this.#now);
  }

  #check({ sessid }: CheckRequest): SessionResponse {
    const row = this.#find(sessid);
    if (row === null) return { kind: "check", status: Status.NotFound };
    this.#use(row);
    const response = { kind: "check", status: Status.Ok } as const;
    return this.#settings.forBridge ? { ...response, keepMs: this.#keepMs(row) } : response;
  }

  #read(request: ReadRequest): SessionResponse {
    const row = this.#find(request.sessid);
    const { response, used } = readVerdict(request, row);
    if (row === null || !used) return response;
    this.#use(row);
    return this.#settings.forBridge ? keepable(response, row.session, this.#keepMs(row)) : response;
  }

  /** Collects a touch if the use of a session makes one due. */
  #use(row: SessionRow): void {
    if (touchIsDue(timesOf(row), this.#now, this.#settings.policy)) this.touches.add(row.session.sessid);
  }

  #keepMs(row: SessionRow): number {
    return keepMsOf(timesOf(row), this.#now, this.#settings.policy);
  }

  #register(request: RegisterRequest): SessionResponse {
    const { sessid, user, grants, secretHash } = request;
    const row = this.#table.find(sessid);
    const refreshed = this.#ifLive(row);
    if (refreshed !== null && refreshed.session.user !== user) return failedResponse("register", Status.Conflict);
    if (refreshed === null && !this.#admits(user)) return failedResponse("register", Status.TooMany);
    const expiresAt = this.#put(sessid, request, row, secretHash ?? refreshed?.secretHash ?? null);
    if (refreshed !== null) {
      // Also if it changes nothing: an earlier register, whose response was lost, may have given the same, or evicted a session.
      const { maxSessionsPerUser, limitPolicy } = this.#settings.policy;
      const mayRepeatEviction = maxSessionsPerUser > 0 && limitPolicy === "evict-oldest";
      const gives = grants !== undefined || secretHash !== undefined;
      this.mayRevoke ||= gives || mayRepeatEviction || expiresAt < refreshed.session.expiresAt;
    }
    return { kind: "register", status: Status.Ok, created: refreshed === null, expiresAt };
  }

  #issue(request: PreparedIssue): SessionResponse {
    const rows = request.candidates.map((sessid) => ({ sessid, row: this.#table.find(sessid) }));
    const mine = rows
      .map(({ row }) => this.#ifLive(row))
      .find((row) => row?.session.user === request.user && sameSecret(row.secretHash, request.secretHash));
    if (mine) return this.#issued(request, mine.session.sessid, mine.session.expiresAt);
    const free = rows.find(({ row }) => this.#ifLive(row) === null);
    if (free === undefined) return failedResponse("issue", Status.Unavailable);
    if (!this.#admits(request.user)) return failedResponse("issue", Status.TooMany);
    return this.#issued(request, free.sessid, this.#put(free.sessid, request, free.row, request.secretHash));
  }

  #issued({ secret }: PreparedIssue, sessid: number, expiresAt: number): SessionResponse {
    return { kind: "issue", status: Status.Ok, sessid, token: makeToken(sessid, secret), expiresAt };
  }

  /** Whether the user may have one more session; makes room for it first if that is the policy. */
  #admits(user: string | null): boolean {
    const { maxSessionsPerUser, limitPolicy } = this.#settings.policy;
    if (user === null || maxSessionsPerUser === 0) return true;
    const excess = this.#table.countUser(user, this.#now) - maxSessionsPerUser + 1;
    if (excess <= 0) return true;
    if (limitPolicy === "reject") return false;
    this.#end(this.#listUser(user).slice(0, excess), "evicted");
    this.mayRevoke = true;
    return true;
  }

  /** Writes a session that begins now, or is refreshed now if `before`, the row under its sessid, lives. Returns its expiry. */
  #put(
    sessid: number,
    request: RegisterRequest | PreparedIssue,
    before: SessionRow | null,
    secretHash: string | null,
  ): number {
    const { user, ip } = request;
    const refreshed = this.#ifLive(before);
    const idleMs = request.idleMs ?? refreshed?.idleMs ?? this.#settings.policy.idleMs;
    const expiresAt = firstExpiry(this.#now, idleMs, this.#settings.policy);
    const grantsJson = request.grants === undefined ? (refreshed?.grantsJson ?? null) : grantsText(request.grants);
    this.#table.put({ sessid, user, ip, createdAt: this.#now, expiresAt, idleMs, secretHash, grantsJson });
    if (before !== null && refreshed === null) {
      this.changes.push(expiryOf({ sessid, user: before.session.user, expires: before.session.expiresAt }));
    }
    if (refreshed === null) {
      this.changes.push(["began", sessid, user]);
    } else if (
      grantsJson !== refreshed.grantsJson ||
      secretHash !== refreshed.secretHash ||
      expiresAt < refreshed.session.expiresAt
    ) {
      this.changes.push(["changed", sessid, user]);
    }
    return expiresAt;
  }

  #delete({ sessid, user, secretHash }: DeleteRequest): Status {
    const row = this.#find(sessid);
    if (row === null) return Status.NotFound;
    if (user !== undefined && row.session.user !== user) return Status.Denied;
    if (secretHash !== undefined && !sameSecret(row.secretHash, secretHash)) return Status.Denied;
    this.#end([row], "deleted");
    return Status.Ok;
  }

  #deleteUser({ user, except }: DeleteUserRequest): number {
    return this.#end(
      this.#listUser(user).filter(({ session }) => session.sessid !== except),
      "deleted",
    );
  }

  #end(rows: readonly SessionRow[], reason: EndReason): number {
    for (const { session } of rows) {
      this.#table.delete(session.sessid);
      this.changes.push([reason, session.sessid, session.user]);
    }
    return rows.length;
  }

  #ifLive(row: SessionRow | null): SessionRow | null {
    return row !== null && row.session.expiresAt > this.#now ? row : null;
  }
}

const DEFAULT_GRANTS_JSON = JSON.stringify(DEFAULT_GRANTS);

/** Grants as the table keeps them: null for the default, also where a request names it. */
function grantsText(grants: readonly string[]): string | null {
  const json = JSON.stringify(grants);
  return json === DEFAULT_GRANTS_JSON ? null : json;
}

function timesOf({ session: { createdAt, expiresAt }, touchedAt, idleMs }: SessionRow): SessionTimes {
  return { createdAt, expiresAt, touchedAt, idleMs };
}
