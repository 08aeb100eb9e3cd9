/**
 * The log of a session store: what became of its sessions, in order. Each session that began ends in it exactly once, whatever
 * ended it. A touch, and a refresh that changes nothing that a bridge keeps, are no events.
 *
 * An expiry is written by whoever first finds the session expired: a sweep, a write, a reader of the log. So its end may stand
 * after events that came later; where its sessid is taken again, its end stands before the new beginning.
 */
export interface SessionEvent {
  /** Where a reader stands that has seen this event and all before it: opaque text, to be given back as {@link LogRead.after}. */
  readonly position: string;
  /** When it happened, epoch ms by the store's clock; of an expiry, when the session expired. */
  readonly at: number;
  /** `changed`: a refresh gave the session other grants or another token, or moved its expiry to an earlier time. */
  readonly kind: "began" | "changed" | "ended";
  /** Null unless `kind` is `ended`. */
  readonly reason: EndReason | null;
  readonly sessid: number;
  /** Null for an anonymous session. */
  readonly user: string | null;
}

/** `evicted`: a newer session of its user took its place (SESSION_LIMIT_POLICY). */
export type EndReason = "deleted" | "expired" | "evicted";

/** A request for a page of the log. */
export interface LogRead {
  /** The position that the reader stands on; null: the end of the log, to be told of what happens from now on. */
  readonly after: string | null;
  /** The most events that the page may have: 1..{@link MAX_LOG_PAGE}. */
  readonly limit: number;
  /**
   * The leases that the reader is about to grant to bridges, under the name `hub`, run for at most `ms` from this read on. The store
   * notes that in the same step as it reads: every change after this page knows of them ({@link AwaitAcknowledgements}).
   */
  readonly lease?: { readonly hub: string; readonly ms: number };
}

/** The most events in one page of the log. */
export const MAX_LOG_PAGE = 1000;

/** What a read of the log brings. It shows everything that happened before it, if no `more` is left. */
export type LogPage =
  /** What followed the reader's position, in order. `position` is where the reader stands now. `more`: read on at once. */
  | {
      readonly kind: "events";
      readonly events: readonly SessionEvent[];
      readonly position: string;
      readonly more: boolean;
    }
  /** The reader's position is not in the log, or not any more: it has missed events. `position` is the log's end. */
  | { readonly kind: "reset"; readonly position: string }
  /** The store could not be asked in time. */
  | { readonly kind: "unavailable" };

/** The entries that a log keeps at least, unless the configuration says otherwise (SESSION_LOG_ENTRIES). */
export const DEFAULT_LOG_ENTRIES = 100_000;

/**
 * Waits until no bridge answers by the old state of sessions that a write has ended or changed: for each hub whose leases may
 * still run, until its bridges have acknowledged everything in the log, or its leases have run out. The keys of `leases` are
 * the hubs' names, its values the ms for which their leases may run at most. Empty maps are not passed. It does not reject, and
 * takes at most as long as the longest of the leases.
 */
export type AwaitAcknowledgements = (leases: ReadonlyMap<string, number>) => Promise<void>;
