import { DurableObject } from "cloudflare:workers";
import {
  type DeleteRequest,
  type DeleteUserRequest,
  failedResponse,
  type RegisterRequest,
  type SessionResponse,
} from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { sameSecret } from "../secrets.ts";
import { firstExpiry, type SessionPolicy, touchIsDue } from "../session-lifetime.ts";
import type { EndedSessions, PreparedIssue, PreparedRequest } from "../session-store.ts";
import { type ReadRequest, readVerdict } from "../stored-session.ts";
import { EmbeddedTable, type SessionRow } from "./embedded-table.ts";

/** The touches that a run has left to be written. */
interface PendingTouches {
  readonly sessids: ReadonlySet<number>;
  /** Epoch ms of the checks. */
  readonly at: number;
  readonly policy: SessionPolicy;
}

/** Expired rows that a writing run removes, and that one step of a sweep removes. */
const MAX_TRIMMED_PER_RUN = 100;
const MAX_TRIMMED_PER_SWEEP = 1000;

/** Sessions that one step of `endAll` removes; checks are served between two steps. */
const MAX_ENDED_PER_STEP = 1000;

/** The Durable Object that keeps all sessions, in its SQLite. What it holds in memory may be lost at any time. */
export class EmbeddedSessions extends DurableObject {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #table: EmbeddedTable;
  readonly #pendingTouches: PendingTouches[] = [];

  constructor(state: DurableObjectState, env: unknown) {
    super(state, env as Cloudflare.Env);
    this.#table = new EmbeddedTable(state.storage.sql);
  }

  /** Executes the requests in their order; all of them, or none if it throws. */
  run(requests: readonly PreparedRequest[], policy: SessionPolicy): SessionResponse[] {
    const now = this.nowMs();
    return this.ctx.storage.transactionSync(() => {
      const run = new Run(this.#table, policy, now);
      const responses = requests.map((request) => run.execute(request));
      if (run.wrote) this.#table.trim(now, MAX_TRIMMED_PER_RUN);
      if (run.touches.size > 0) this.#touchLater({ sessids: run.touches, at: now, policy });
      return responses;
    });
  }

  /** Removes some of the expired rows. Returns whether there may be more. */
  sweep(): boolean {
    return this.#table.trim(this.nowMs(), MAX_TRIMMED_PER_SWEEP) === MAX_TRIMMED_PER_SWEEP;
  }

  /** Ends some of the sessions. It is complete if none is left. */
  endSome(): EndedSessions {
    const { removed, live } = this.#table.deleteSome(this.nowMs(), MAX_ENDED_PER_STEP);
    return { ended: live, complete: removed < MAX_ENDED_PER_STEP };
  }

  /** Writes the pending touches. A session that has ended or begun anew since its check is left as it is. */
  applyTouches(): void {
    const now = this.nowMs();
    for (const { sessids, at, policy } of this.#pendingTouches.splice(0)) {
      for (const sessid of sessids) this.#table.touch(sessid, at, now, policy.touchIntervalMs, policy.maxMs);
    }
  }

  /** A response waits until everything written before it is durable, so a check's touch is written after its response. */
  #touchLater(touches: PendingTouches): void {
    if (this.#pendingTouches.push(touches) === 1) setTimeout(() => this.applyTouches(), 0);
  }
}

/** One run of requests on the table, all at one moment, `now` (epoch ms). It collects the touches that are due. */
class Run {
  /** The sessids of live sessions that were used, and for which a touch is due. */
  readonly touches = new Set<number>();
  /** Whether a request has written. */
  wrote = false;
  readonly #table: EmbeddedTable;
  readonly #policy: SessionPolicy;
  readonly #now: number;

  constructor(table: EmbeddedTable, policy: SessionPolicy, now: number) {
    this.#table = table;
    this.#policy = policy;
    this.#now = now;
  }

  execute(request: PreparedRequest): SessionResponse {
    switch (request.kind) {
      case "check":
        return { kind: "check", status: this.#use(this.#find(request.sessid)) ? Status.Ok : Status.NotFound };
      case "identify":
      case "checkAccess":
      case "get":
        return this.#read(request);
      case "register":
        return this.#register(request);
      case "issue":
        return this.#issue(request);
      case "delete":
        return { kind: "delete", status: this.#delete(request) };
      case "listUser":
        return {
          kind: "listUser",
          status: Status.Ok,
          sessions: this.#listUser(request.user).map((row) => row.session),
        };
      case "deleteUser":
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
    return this.#table.find(sessid, this.#now);
  }

  #listUser(user: string): SessionRow[] {
    return this.#table.listUser(user, this.#now);
  }

  #read(request: ReadRequest): SessionResponse {
    const row = this.#find(request.sessid);
    const { response, used } = readVerdict(request, row);
    if (used) this.#use(row);
    return response;
  }

  /** Collects a touch if the use of a session makes one due. Returns whether there is a session. */
  #use(row: SessionRow | null): boolean {
    if (row === null) return false;
    const { createdAt, expiresAt, sessid } = row.session;
    const times = { createdAt, expiresAt, touchedAt: row.touchedAt, idleMs: row.idleMs };
    if (touchIsDue(times, this.#now, this.#policy)) this.touches.add(sessid);
    return true;
  }

  #register(request: RegisterRequest): SessionResponse {
    const row = this.#find(request.sessid);
    if (row !== null && row.session.user !== request.user) return failedResponse("register", Status.Conflict);
    if (row === null && !this.#admits(request.user)) return failedResponse("register", Status.TooMany);
    const expiresAt = this.#put(request.sessid, request, row, request.secretHash ?? row?.secretHash ?? null);
    return { kind: "register", status: Status.Ok, created: row === null, expiresAt };
  }

  #issue(request: PreparedIssue): SessionResponse {
    const rows = request.candidates.map((sessid) => ({ sessid, row: this.#find(sessid) }));
    const mine = rows.find(
      ({ row }) => row?.session.user === request.user && sameSecret(row.secretHash, request.secretHash),
    );
    const free = rows.find(({ row }) => row === null);
    const sessid = mine?.sessid ?? free?.sessid;
    if (sessid === undefined) return failedResponse("issue", Status.Unavailable);
    if (mine === undefined && !this.#admits(request.user)) return failedResponse("issue", Status.TooMany);
    const expiresAt = mine?.row?.session.expiresAt ?? this.#put(sessid, request, null, request.secretHash);
    return { kind: "issue", status: Status.Ok, sessid, token: makeToken(sessid, request.secret), expiresAt };
  }

  /** Whether the user may have one more session; makes room for it first if that is the policy. */
  #admits(user: string | null): boolean {
    const { maxSessionsPerUser, limitPolicy } = this.#policy;
    if (user === null || maxSessionsPerUser === 0) return true;
    const excess = this.#table.countUser(user, this.#now) - maxSessionsPerUser + 1;
    if (excess <= 0) return true;
    if (limitPolicy === "reject") return false;
    this.#end(this.#listUser(user).slice(0, excess));
    return true;
  }

  /** Writes a session that begins now, or is refreshed now. Returns its expiry. */
  #put(
    sessid: number,
    request: RegisterRequest | PreparedIssue,
    refreshed: SessionRow | null,
    secretHash: string | null,
  ): number {
    const idleMs = request.idleMs ?? refreshed?.idleMs ?? this.#policy.idleMs;
    const expiresAt = firstExpiry(this.#now, idleMs, this.#policy);
    this.#table.put({
      sessid,
      user: request.user,
      ip: request.ip,
      createdAt: this.#now,
      expiresAt,
      idleMs,
      secretHash,
      grantsJson: request.grants === undefined ? (refreshed?.grantsJson ?? null) : JSON.stringify(request.grants),
    });
    this.wrote = true;
    return expiresAt;
  }

  #delete({ sessid, user, secretHash }: DeleteRequest): Status {
    const row = this.#find(sessid);
    if (row === null) return Status.NotFound;
    if (user !== undefined && row.session.user !== user) return Status.Denied;
    if (secretHash !== undefined && !sameSecret(row.secretHash, secretHash)) return Status.Denied;
    this.#end([row]);
    return Status.Ok;
  }

  #deleteUser({ user, except }: DeleteUserRequest): number {
    return this.#end(this.#listUser(user).filter(({ session }) => session.sessid !== except));
  }

  #end(rows: readonly SessionRow[]): number {
    for (const { session } of rows) this.#table.delete(session.sessid);
    this.wrote ||= rows.length > 0;
    return rows.length;
  }
}
