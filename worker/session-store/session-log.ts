import type { EndReason } from "../../protocol/watch-packets.ts";

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

export type { EndReason };

/** A request for a page of the log. */
export interface LogRead {
  /** The position that the reader stands on; null: the end of the log, to be told of what happens from now on. */
  readonly after: string | null;
  /** The most events that the page may have: 1..{@link MAX_LOG_PAGE}. */
  readonly limit: number;
  /** The kinds of events that the page may have; absent: all. */
  readonly kinds?: ReadonlySet<SessionEvent["kind"]>;
  /**
   * The leases that the reader is about to grant to bridges, under the name `hub`, run for at most `ms` from this read on. The store
   * notes that in the same step as it reads: every change after this page knows of them ({@link AwaitAcknowledgements}).
   */
  readonly lease?: { readonly hub: string; readonly ms: number };
  /**
   * The reader wants to be told of what ends and changes in the next `watchMs` from this read on. The store notes that in the same
   * step as it reads, as {@link WATCHERS}: every change after this page knows that somebody watches.
   */
  readonly watchMs?: number;
}

/** The most events in one page of the log. */
export const MAX_LOG_PAGE = 1000;

/** What a read of the log brings. It shows everything of its kinds that happened before it, if no `more` is left. */
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

/** The ms for which leases that a hub granted may still run, by the hub's name; and those for which {@link WATCHERS} watch. */
export type Leases = ReadonlyMap<string, number>;

/** A name among the leases that is no hub's: readers who want to be told when there is something to read ({@link LogRead.watchMs}). */
export const WATCHERS = "watchers";

/**
 * Waits until no bridge answers by the old state of sessions that a write has ended or changed: for each hub whose leases may
 * still run, until its bridges have acknowledged everything in the log, or its leases have run out. It does not reject, and takes
 * at most as long as the longest of the leases. Stores do not call it without leases.
 *
 * It does not wait for {@link WATCHERS}: where they are named, it has them told in the background. A sweep, whose ends no bridge
 * need acknowledge, names them alone.
 */
export type AwaitAcknowledgements = (leases: Leases) => Promise<void>;

/** For a store that is told of no hub: waits until the leases have run out. Watchers find out by reading. */
export const outlastLeases: AwaitAcknowledgements = async (leases) => {
  const runningMs = [...leases].flatMap(([hub, ms]) => (hub === WATCHERS ? [] : [ms]));
  if (runningMs.length > 0) await new Promise((resolve) => setTimeout(resolve, Math.max(...runningMs)));
};

/**
 * An entry of a log: what one step of the store did to sessions. Stores keep and find the entries; where a reader stands among
 * them is said here alone.
 */
export interface LogEntry {
  /** Orders the entries of one log; the store's own, without a "_" in it. */
  readonly id: string;
  /** Epoch ms. */
  readonly at: number;
  /** The entry as the store keeps it, for the digest in a position. */
  readonly text: string;
  /** In order. Empty in the entry that a reader adds to an empty log, so as to stand on one. */
  readonly changes: readonly LoggedChange[];
}

/** A change of one session. `expiredAt` (epoch ms) is there if the session expired. */
export type LoggedChange = readonly [
  kind: "began" | "changed" | EndReason,
  sessid: number,
  user: string | null,
  expiredAt?: number,
];

/** A position, taken apart. */
interface Place {
  /** The entry that the reader stands on. */
  readonly id: string;
  /** How many of its changes the reader has seen. */
  readonly seen: number;
  /** Of the entry: a log that was restored from a copy may give the same id to another one. */
  readonly digest: string;
}

const PLACE = /^([^_]{1,64})_(0|[1-9]\d{0,5})_([0-9a-z]{1,7})$/;

function placeOf(position: string): Place | null {
  const [, id = "", seen = "", digest = ""] = PLACE.exec(position) ?? [];
  return id === "" ? null : { id, seen: Number(seen), digest };
}

/** The id of the entry that a position stands on: a store reads from there, inclusive. Null if it is not a position. */
export function entryIdOf(position: string): string | null {
  return placeOf(position)?.id ?? null;
}

/** The position behind everything in an entry. */
export function endOf(entry: LogEntry): string {
  return `${entry.id}_${entry.changes.length}_${digestOf(entry)}`;
}

/**
 * The page that a reader gets who stands on `after`.
 *
 * @param entries in the log's order; the first is the one that `after` stands on if the log has it, and none is missing from
 *   there on that has events of the kinds wanted. No more of them are taken than the page needs
 * @param last the last entry of the log
 */
export function pageOf(
  after: string,
  { limit, kinds }: Pick<LogRead, "limit" | "kinds">,
  entries: Iterable<LogEntry>,
  last: LogEntry,
): LogPage {
  const place = placeOf(after);
  const events: SessionEvent[] = [];
  let position: string | undefined;
  let seen = place?.seen ?? 0;
  for (const entry of entries) {
    const digest = digestOf(entry);
    const stands = entry.id === place?.id && digest === place.digest && seen <= entry.changes.length;
    if (position === undefined && !stands) break;
    for (const change of entry.changes.slice(seen)) {
      if (events.length === limit) break;
      seen += 1;
      const event = eventOf(change, entry.at, `${entry.id}_${seen}_${digest}`);
      if (kinds?.has(event.kind) ?? true) events.push(event);
    }
    position = `${entry.id}_${seen}_${digest}`;
    if (events.length === limit) break;
    seen = 0;
  }
  if (position === undefined) return { kind: "reset", position: endOf(last) };
  return { kind: "events", events, position, more: position !== endOf(last) };
}

function eventOf([what, sessid, user, expiredAt]: LoggedChange, at: number, position: string): SessionEvent {
  if (what === "began" || what === "changed") return { position, at, kind: what, reason: null, sessid, user };
  return { position, at: expiredAt ?? at, kind: "ended", reason: what, sessid, user };
}

/** FNV-1a of 32 bits, in base 36. */
function digestOf({ text }: LogEntry): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(36);
}
