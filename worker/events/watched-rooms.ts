import { CoalescedCall } from "../coalesced-call.ts";
import { type EndReason, MAX_LOG_PAGE, type SessionEvent } from "../session-store/session-log.ts";
import { type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";

/** Sessions that may have ended or changed, with the reason of an end; null: any session may have. */
export type DoubtfulSessions = ReadonlyMap<number, EndReason | null> | null;

/** A room, as the event hub calls it (rooms/room.ts, which this file cannot import). */
export interface WatchedRoom extends Rpc.DurableObjectBranded {
  /** Asks the store about the members of these sessions, and closes those who may not stay. Resolves with false if nobody is there. */
  recheck(sessions: DoubtfulSessions): Promise<boolean>;
}

export interface WatchedRoomsOptions {
  readonly sql: SqlStorage;
  readonly store: Pick<SessionStore, "readLog">;
  readonly room: (name: string) => Pick<WatchedRoom, "recheck">;
  /** Keeps the Durable Object alive until the promise is settled. */
  readonly background: (work: Promise<unknown>) => void;
}

/** For how long a read says that the hub watches. An occupied room calls {@link WatchedRooms.watch} every 60 s: one call may be lost. */
const WATCH_MS = 150_000;
const RENEW_AFTER_MS = 45_000;

/** Rooms that are told at once: each asks the store, which an end of all sessions must not flood. */
const MAX_TOLD_AT_ONCE = 64;

/** A room that does not respond for so long does not hold up others; its own check every 60 s finds what it missed. */
const ROOM_DEADLINE_MS = 5_000;

/** A hundred pages, each of which has a deadline of its own. */
const READ_DEADLINE_MS = 60_000;

const REVOKING: ReadonlySet<SessionEvent["kind"]> = new Set(["changed", "ended"]);

/**
 * The sessions that are in rooms, and the reader of the log that tells the rooms of their ends and changes. It reads only when it is
 * poked, so the hub's memory is lost whenever no session ends for some seconds: what must outlive that is in SQLite.
 *
 * The position is stored when the rooms were told, not before: a hub that is restarted in between reads and tells again.
 */
export class WatchedRooms {
  readonly #sql: SqlStorage;
  readonly #store: WatchedRoomsOptions["store"];
  readonly #room: WatchedRoomsOptions["room"];
  readonly #background: WatchedRoomsOptions["background"];
  /** Everything before it was read; null: nobody was there who would have to hear of it. */
  #position: string | null;
  /** When the last read began that said that the hub watches, epoch ms. */
  #watchedMs = Number.NEGATIVE_INFINITY;
  readonly #reads: CoalescedCall<void>;
  /** What rooms are still to be told. */
  readonly #due = new Map<string, Map<number, EndReason | null> | null>();
  readonly #beingTold = new Set<string>();
  /** Those that somebody has entered since they were called: "nobody is there" may be older than that. */
  readonly #entered = new Set<string>();

  constructor({ sql, store, room, background }: WatchedRoomsOptions) {
    this.#sql = sql;
    this.#store = store;
    this.#room = room;
    this.#background = background;
    this.#reads = new CoalescedCall({ call: () => this.#readPages(), deadlineMs: READ_DEADLINE_MS, background });
    sql.exec(`
      CREATE TABLE IF NOT EXISTS room_sessions (
        sessid INTEGER NOT NULL, room TEXT NOT NULL, PRIMARY KEY (sessid, room)
      ) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS sessions_by_room ON room_sessions (room);
      CREATE TABLE IF NOT EXISTS rooms_told (id INTEGER PRIMARY KEY CHECK (id = 1), position TEXT NOT NULL);
    `);
    const [told] = sql.exec<{ position: string }>("SELECT position FROM rooms_told");
    this.#position = told?.position ?? null;
  }

  /**
   * `more`: these sessions are in the room too; `all`: they are all that are. When it resolves, the hub watches: the room hears of
   * what becomes of them from now on. What became of them before, it must ask the store.
   */
  async watch(room: string, sessids: readonly number[], which: "more" | "all"): Promise<void> {
    const list = JSON.stringify(sessids);
    if (which === "all") {
      this.#sql.exec(
        "DELETE FROM room_sessions WHERE room = ? AND sessid NOT IN (SELECT value FROM json_each(?))",
        room,
        list,
      );
    }
    if (sessids.length === 0) return;
    if (this.#beingTold.has(room)) this.#entered.add(room);
    // What happened while nobody was there concerns nobody who comes now.
    if (this.#isEmpty) this.#position = null;
    this.#sql.exec("INSERT OR IGNORE INTO room_sessions (sessid, room) SELECT value, ? FROM json_each(?)", room, list);
    if (this.#position === null || this.#mustRenew) await this.read();
  }

  /** Tells the rooms what the log has. Resolves when a read is over that began after this call. */
  async read(): Promise<void> {
    await this.#reads.ask();
  }

  get #isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 FROM room_sessions LIMIT 1").toArray().length === 0;
  }

  get #mustRenew(): boolean {
    return Date.now() - this.#watchedMs >= RENEW_AFTER_MS;
  }

  async #readPages(): Promise<void> {
    for (let more = !this.#isEmpty; more; ) {
      const renews = this.#position === null || this.#mustRenew;
      const beganMs = Date.now();
      const read = this.#store.readLog({
        after: this.#position,
        limit: MAX_LOG_PAGE,
        kinds: REVOKING,
        ...(renews && { watchMs: WATCH_MS }),
      });
      const page = await settledWithin(2 * STORE_DEADLINE_MS, read);
      // The next poke, or the next room, reads again.
      if (page === undefined || page.kind === "unavailable") return;
      if (renews) this.#watchedMs = beganMs;
      this.#position = page.position;
      if (page.kind === "reset") this.#tellAll();
      else this.#tellOf(page.events);
      more = page.kind === "events" && page.more;
      if (renews) this.#storePosition();
    }
  }

  #tellOf(events: readonly SessionEvent[]): void {
    if (events.length === 0) return;
    const reasons = new Map(events.map(({ sessid, reason }) => [sessid, reason]));
    const rows = this.#sql.exec<{ sessid: number; room: string }>(
      "SELECT sessid, room FROM room_sessions WHERE sessid IN (SELECT value FROM json_each(?))",
      JSON.stringify([...reasons.keys()]),
    );
    for (const { sessid, room } of rows) {
      const due = this.#due.get(room) ?? new Map<number, EndReason | null>();
      if (this.#due.get(room) !== null) this.#due.set(room, due.set(sessid, reasons.get(sessid) ?? null));
    }
    this.#tellDue();
  }

  #tellAll(): void {
    for (const { room } of this.#sql.exec<{ room: string }>("SELECT DISTINCT room FROM room_sessions")) {
      this.#due.set(room, null);
    }
    this.#tellDue();
  }

  /** One call of each room at a time. */
  #tellDue(): void {
    for (const [room, sessions] of this.#due) {
      if (this.#beingTold.size === MAX_TOLD_AT_ONCE) return;
      if (this.#beingTold.has(room)) continue;
      this.#due.delete(room);
      this.#beingTold.add(room);
      this.#background(this.#tell(room, sessions));
    }
  }

  async #tell(room: string, sessions: DoubtfulSessions): Promise<void> {
    const isOccupied = await settledWithin(ROOM_DEADLINE_MS, this.#room(room).recheck(sessions));
    this.#beingTold.delete(room);
    const isEntered = this.#entered.delete(room);
    // Its last call did not reach the hub.
    if (isOccupied === false && !isEntered) this.#sql.exec("DELETE FROM room_sessions WHERE room = ?", room);
    this.#tellDue();
    this.#storePosition();
  }

  /** Stores where the reader stands, unless a room is still to be told of something before. */
  #storePosition(): void {
    if (this.#position === null || this.#due.size > 0 || this.#beingTold.size > 0) return;
    this.#sql.exec("INSERT OR REPLACE INTO rooms_told (id, position) VALUES (1, ?)", this.#position);
  }
}
