import type { Presence } from "../player-packets.ts";

/** What a room keeps that must outlive its memory. Every method is synchronous, as SQLite in a Durable Object is. */
export interface RoomStorage {
  /** The incarnation of the log: a random number of 1..2^53-1, chosen with the storage. */
  readonly epoch: number;
  /** The highest offset ever given, 0 at first; trimming does not change it. */
  readonly head: number;
  /** The lowest offset still kept, `head + 1` if none is. */
  readonly first: number;
  /** Bytes of the log as {@link logEntryBytes} counts them. */
  readonly bytes: number;

  /** Keeps an entry whose offset is `head + 1`. */
  append(entry: LogEntry): void;

  /** The entries above offset `after` that {@link isVisibleTo} the member, in order, at most `limit` of them. */
  read(after: number, member: number, limit: number): readonly LogEntry[];

  /** The offset after which the last `messages` messages to everybody begin; `first - 1` if there are not so many. */
  historyStart(messages: number): number;

  /**
   * Deletes the oldest entries until the log is within its bounds, or somebody needs what is next. `needs` is asked only if
   * the log is beyond its bounds. Called in each turn; one that has very much to delete may leave some of it to the next.
   */
  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void;

  loadSeats(): readonly Seat[];
  saveSeat(seat: Seat): void;
  deleteSeat(member: number): void;

  /** The next member's number: 1, 2, 3, ... and none twice in an epoch. */
  takeMemberNumber(): number;
}

/** How much of the log is kept: whatever bound is reached first. */
export interface LogBounds {
  readonly maxEntries: number;
  /** Bytes as {@link logEntryBytes} counts them. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** How old an entry may be that is kept beyond those bounds because somebody needs it. */
  readonly neededMs: number;
  /** Bytes of the log when it is: half of them for connected members, all of them for held seats. */
  readonly maxNeededBytes: number;
}

/** Above which offset the log is needed: `head` or more if nothing is. */
export interface LogNeeds {
  /** By members who have a connection, and have not acknowledged it. */
  readonly connected: number;
  /** By members whose seat is held. */
  readonly held: number;
}

/** Whether the oldest entry of a log that is beyond its bounds must stay: `bytes` is what is kept, this entry included. */
export function isNeeded(
  oldest: { readonly offset: number; readonly atMs: number },
  bytes: number,
  { neededMs, maxNeededBytes }: LogBounds,
  needs: LogNeeds,
  nowMs: number,
): boolean {
  if (oldest.atMs < nowMs - neededMs || bytes > maxNeededBytes) return false;
  return oldest.offset > needs.held || (oldest.offset > needs.connected && bytes <= maxNeededBytes / 2);
}

/** One line of the log: offsets have no holes. */
export type LogEntry = LogMessage | LogPresence;

export interface LogMessage {
  readonly kind: "message";
  readonly offset: number;
  /** The sender's member number, 0 for the server. */
  readonly from: number;
  /** 0 is everybody, else one member. */
  readonly to: number;
  readonly body: Uint8Array;
  readonly atMs: number;
}

export interface LogPresence {
  readonly kind: "presence";
  readonly offset: number;
  readonly member: number;
  readonly state: Presence;
  readonly user: string;
  readonly atMs: number;
}

/** A member, with or without a connection. */
export interface Seat {
  /** The player's number in this room. */
  readonly member: number;
  /** Which session has it: the same text for the same session only, whatever happens to its sessid. */
  readonly session: string;
  readonly user: string;
  /** The offset after which the member may read. */
  readonly start: number;
  /** The highest seq that is durable. */
  readonly received: number;
  /** The `attempt` of the newest Join. */
  readonly attempt: number;
  /** Since when it has no connection, in ms; null while it has one. */
  readonly heldSinceMs: number | null;
}

/** Whether a member gets this entry: what is for everybody, for it alone, or its own. */
export function isVisibleTo(entry: LogEntry, member: number): boolean {
  return entry.kind === "presence" || entry.to === 0 || entry.to === member || entry.from === member;
}

/** What an entry costs beside its text or body: about its row. */
const ENTRY_BYTES = 40;

/** What an entry costs. */
export function logEntryBytes(entry: LogEntry): number {
  return entry.kind === "message" ? logMessageBytes(entry.body) : ENTRY_BYTES + entry.user.length;
}

/** What a message costs as an entry. */
export function logMessageBytes(body: Uint8Array): number {
  return ENTRY_BYTES + body.byteLength;
}
