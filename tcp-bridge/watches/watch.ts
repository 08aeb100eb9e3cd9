import { Status } from "../../protocol/status-codes.ts";
import type { WatchRequest, WatchScope } from "../../protocol/watch-packets.ts";
import type { PageRead } from "./page-reader.ts";
import { endedPacket, noticePacket, type RecentEnds, type SessionEnd } from "./recent-ends.ts";

/** The connection that watches. */
export interface WatchPeer {
  /** Whether it reads fast enough, and none of its requests waits for the edge: what is told comes behind the responses to those. */
  readonly mayBeTold: boolean;
  /** Responds to the WatchRequest. */
  answer(status: Status, position: string | null): void;
  /** Sends packets that are responses to nothing. */
  tell(packet: Uint8Array): void;
  /** Whether the connection has registered, issued or found Ok a session. */
  knows(sessid: number): boolean;
}

/** What the watches of a bridge share. */
export interface WatchSource {
  readonly ends: RecentEnds;
  readonly isLive: boolean;
  readonly metrics: WatchMetrics;
  /** The watch needs the stream, until {@link leave}. Idempotent. */
  enter(watch: Watch): void;
  leave(watch: Watch): void;
  /** Resolves with whether the stream is live, within the deadline of the edge. */
  live(): Promise<boolean>;
  /** Reads a page; `isUpToDate`: once the stream has told all that is in the log now. */
  read(after: string, isUpToDate: boolean): Promise<PageRead>;
  /** The bridge forgets a session that has ended, before anybody is told; undefined: all sessions. */
  forget(sessid: number | undefined): void;
  /** Calls {@link Watch.tellOn} soon. */
  schedule(watch: Watch): void;
}

/** Counts what is told. */
export interface WatchMetrics {
  told(kind: "ended" | "checkpoint" | "reset"): void;
  /** A watch began at an earlier position, which the ring of recent ends had, or not. */
  caughtUp(source: "memory" | "edge"): void;
}

/** A watch that was told nothing for this time is told where it stands. */
const CHECKPOINT_MS = 10_000;

/** A page that failed is asked for again after this time, and once more of it at random. */
const RETRY_MS = 1_000;

/** So many entries of the ring are looked at in one go: about 0.1 ms. */
const ENTRIES_AT_ONCE = 1_000;

/** Where the next end comes from. */
type Stage =
  /** From the ring. `repeats`: positions that a page had, and that the ring may have again, before all others. */
  | { readonly kind: "live"; next: number; repeats: ReadonlySet<string> | undefined }
  /** From pages of the log. `retryAtMs`: when the next one may be asked for. */
  | { readonly kind: "paging"; after: string; isUpToDate: boolean; isAsked: boolean; retryAtMs: number }
  | { readonly kind: "page"; readonly page: PageRead & { readonly kind: "ends" }; next: number };

/** What a connection watches. */
interface Watching {
  readonly scope: Exclude<WatchScope, "none">;
  stage: Stage;
  /**
   * Entries of the ring before this one, and pages while `catchesUp`, happened before the WatchRequest. They are told whatever the
   * scope: which sessions the server knew at another bridge, this one cannot know.
   */
  readonly begin: number;
  catchesUp: boolean;
  /** Everything up to here was told, and where the connection was told that it stands. */
  position: string;
}

/**
 * The watch of one connection: it tells the ends of its scope in the order of the log, each once. It reads the ring of recent ends,
 * or pages of the log where the ring does not reach back far enough, at the pace at which the connection reads.
 *
 * Where pages end and the ring goes on: the last page was asked for after the stream had told all that was in the log then, so what the
 * ring got since is in the page, or newer. Both are in the order of the log, so what is in the page comes first.
 */
export class Watch {
  readonly #source: WatchSource;
  readonly #peer: WatchPeer;
  #watching: Watching | undefined;
  #isClosed = false;
  #toldMs = 0;

  constructor(source: WatchSource, peer: WatchPeer) {
    this.#source = source;
    this.#peer = peer;
  }

  /** The scope of the watch; undefined: nothing is watched. */
  get scope(): WatchScope | undefined {
    return this.#watching?.scope;
  }

  /** Takes a request, and answers it: at once, or later. Until then the connection must not pass another one. */
  ask(request: WatchRequest): void {
    const { ends, isLive } = this.#source;
    if (request.scope === "none") {
      this.#end(Status.Ok, null);
      return;
    }
    this.#source.enter(this);
    const begin = isLive ? beginIn(ends, request.after) : undefined;
    if (begin !== undefined) this.#beginLive(request, begin);
    // It does not reject.
    else void this.#askEdge(request);
  }

  /** The connection has ended. */
  close(): void {
    this.#isClosed = true;
    this.#watching = undefined;
    this.#source.leave(this);
  }

  /** The connection may be told more than before. */
  wake(): void {
    if (this.#watching !== undefined) this.#source.schedule(this);
  }

  /** Tells what there is to tell, up to a bound. Returns whether there is more that can be told now. */
  tellOn(nowMs: number): boolean {
    const watching = this.#watching;
    if (watching === undefined) return false;
    for (let left = ENTRIES_AT_ONCE; left > 0; left--) {
      if (!this.#peer.mayBeTold || !this.#step(watching, nowMs)) return false;
    }
    return true;
  }

  /** Called about once a second. `idleMs`: a connection on which nothing is sent for so long is closed. */
  sweep(nowMs: number, idleMs: number): void {
    const watching = this.#watching;
    if (watching === undefined || !this.#peer.mayBeTold) return;
    if (this.tellOn(nowMs)) this.#source.schedule(this);
    // While the stream is down, silence says so.
    if (!this.#source.isLive || nowMs - this.#toldMs < Math.min(CHECKPOINT_MS, idleMs / 3)) return;
    this.#tell("checkpoint", noticePacket({ kind: "checkpoint", at: Date.now(), position: watching.position }), nowMs);
  }

  /** Goes on by one entry; false: there is none. */
  #step(watching: Watching, nowMs: number): boolean {
    const { stage } = watching;
    const { ends } = this.#source;
    switch (stage.kind) {
      case "live":
        if (stage.next === ends.end) return false;
        if (stage.next < ends.first) {
          // It was behind by more than the ring holds: pages have what is missing.
          if (stage.next >= watching.begin) watching.catchesUp = false;
          watching.stage = paging(watching.position, true);
        } else this.#stepInRing(watching, stage, nowMs);
        return true;
      case "page":
        this.#stepInPage(watching, stage, nowMs);
        return true;
      case "paging":
        if (!stage.isAsked && nowMs >= stage.retryAtMs) void this.#readOn(watching, stage);
        return false;
    }
  }

  #stepInRing(watching: Watching, stage: Stage & { kind: "live" }, nowMs: number): void {
    const entry = this.#source.ends.entry(stage.next);
    const isOfScope = (sessid: number): boolean =>
      watching.scope === "all" || stage.next < watching.begin || this.#peer.knows(sessid);
    watching.position = entry.position;
    if (entry.kind === "reset") this.#tell("reset", entry.packet, nowMs);
    else if (entry.kind === "ended" && !stage.repeats?.has(entry.position)) {
      stage.repeats = undefined;
      if (isOfScope(entry.sessid)) this.#tell("ended", entry.packet, nowMs);
    }
    stage.next += 1;
  }

  #stepInPage(watching: Watching, stage: Stage & { kind: "page" }, nowMs: number): void {
    const { page } = stage;
    const end = page.ends[stage.next];
    if (end !== undefined) {
      stage.next += 1;
      watching.position = end.position;
      const isOfScope = watching.scope === "all" || watching.catchesUp || this.#peer.knows(end.sessid);
      if (isOfScope) this.#tellFromPage(end, nowMs);
      return;
    }
    watching.position = page.next;
    if (page.more) watching.stage = paging(page.next, false);
    else if (!page.isUpToDate) watching.stage = paging(page.next, true);
    else {
      const repeats = new Set(page.ends.map(({ position }) => position));
      watching.stage = { kind: "live", next: page.entriesBefore, repeats };
    }
  }

  /** The stream may tell of it later: what the bridge remembers of the session is forgotten now. */
  #tellFromPage(end: SessionEnd, nowMs: number): void {
    this.#source.forget(end.sessid);
    this.#tell("ended", endedPacket(end), nowMs);
  }

  async #askEdge(request: WatchRequest): Promise<void> {
    const source = this.#source;
    if (!(await source.live())) {
      this.#end(Status.Unavailable, null);
      return;
    }
    const begin = beginIn(source.ends, request.after);
    if (begin !== undefined || request.after === null) {
      this.#beginLive(request, begin ?? source.ends.end);
      return;
    }
    const page = await source.read(request.after, true);
    switch (page.kind) {
      case "ends":
        source.metrics.caughtUp("edge");
        this.#begin(request, { kind: "page", page, next: 0 }, request.after);
        break;
      case "gone":
        this.#end(Status.NotFound, page.next);
        break;
      case "invalid":
        this.#refuse();
        break;
      case "failed":
        this.#end(Status.Unavailable, null);
        break;
      case "crowded":
        this.#end(Status.TooMany, null);
        break;
    }
  }

  #beginLive(request: WatchRequest, next: number): void {
    const { ends, metrics } = this.#source;
    if (next !== ends.end) metrics.caughtUp("memory");
    // The stream is live, so it has a position.
    this.#begin(request, { kind: "live", next, repeats: undefined }, request.after ?? ends.position ?? "");
  }

  #begin({ scope, after }: WatchRequest, stage: Stage, position: string): void {
    if (this.#isClosed || scope === "none") return;
    const begin = after === null ? 0 : this.#source.ends.end;
    this.#watching = { scope, stage, begin, catchesUp: true, position };
    this.#toldMs = performance.now();
    this.#peer.answer(Status.Ok, position);
    this.#source.schedule(this);
  }

  /** Nothing is watched any more. */
  #end(status: Status, position: string | null): void {
    if (this.#isClosed) return;
    this.#watching = undefined;
    this.#source.leave(this);
    this.#peer.answer(status, position);
  }

  /** The request is malformed: a watch that there is goes on. */
  #refuse(): void {
    if (this.#isClosed) return;
    if (this.#watching === undefined) this.#source.leave(this);
    this.#peer.answer(Status.Invalid, null);
  }

  async #readOn(watching: Watching, stage: Stage & { kind: "paging" }): Promise<void> {
    stage.isAsked = true;
    const page = await this.#source.read(stage.after, stage.isUpToDate);
    stage.isAsked = false;
    if (this.#watching !== watching || watching.stage !== stage) return;
    const nowMs = performance.now();
    if (page.kind === "ends") watching.stage = { kind: "page", page, next: 0 };
    else if (page.kind === "gone") {
      // The log was trimmed meanwhile.
      this.#source.forget(undefined);
      watching.position = page.next;
      watching.stage = paging(page.next, true);
      this.#tell("reset", noticePacket({ kind: "reset", at: Date.now(), position: page.next }), nowMs);
    } else stage.retryAtMs = nowMs + RETRY_MS * (1 + Math.random());
    this.#source.schedule(this);
  }

  #tell(kind: "ended" | "checkpoint" | "reset", packet: Uint8Array, nowMs: number): void {
    this.#toldMs = nowMs;
    this.#source.metrics.told(kind);
    this.#peer.tell(packet);
  }
}

/** The number of the entry that follows a position; undefined: the ring does not have it. */
function beginIn(ends: RecentEnds, after: string | null): number | undefined {
  if (after === null) return ends.end;
  const number = ends.numberOf(after);
  return number === undefined ? undefined : number + 1;
}

function paging(after: string, isUpToDate: boolean): Stage {
  return { kind: "paging", after, isUpToDate, isAsked: false, retryAtMs: 0 };
}
