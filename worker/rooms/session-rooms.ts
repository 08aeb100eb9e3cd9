import { DurableObject } from "cloudflare:workers";

/** The worker's bindings that this object uses. */
interface SessionRoomsBindings {
  readonly ROOMS: DurableObjectNamespace<RoomPresence>;
}

/** A room, which can tell whether a session has a seat in it. */
interface RoomPresence extends Rpc.DurableObjectBranded {
  isIn(session: string): boolean;
}

/** How long a room counts at least, even if the session has left it: an empty room costs storage too. */
const MIN_COUNTED_MS = 60_000;

/** After this time without entering another room, the rooms of the session are deleted here. */
const RETENTION_MS = 24 * 60 * 60 * 1000;

/**
 * Counts the rooms that a session is in: one object for each session. A room asks it before it gives the session a new seat,
 * so a resume costs nothing. Nobody reports seats that ended: when the limit is reached, this object asks the rooms.
 */
export class SessionRooms extends DurableObject<SessionRoomsBindings> {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: SessionRoomsBindings) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS rooms (name TEXT PRIMARY KEY, at INTEGER NOT NULL)");
  }

  /** Whether the session may enter this room, if it may be in `most` rooms; if so, the room is counted. */
  async enter(session: string, room: string, most: number): Promise<boolean> {
    if (this.#count() >= most && !this.#has(room)) await this.#dropLeft(session);
    // No await from here on: other rooms may ask at the same time.
    if (this.#count() >= most && !this.#has(room)) return false;
    const nowMs = this.nowMs();
    this.#sql.exec("INSERT OR REPLACE INTO rooms (name, at) VALUES (?, ?)", room, nowMs);
    this.ctx.waitUntil(this.ctx.storage.setAlarm(nowMs + RETENTION_MS));
    return true;
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll();
    this.#sql.exec("CREATE TABLE IF NOT EXISTS rooms (name TEXT PRIMARY KEY, at INTEGER NOT NULL)");
  }

  #count(): number {
    return this.#sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM rooms").one().n;
  }

  #has(room: string): boolean {
    return this.#sql.exec("SELECT 1 FROM rooms WHERE name = ?", room).toArray().length > 0;
  }

  async #dropLeft(session: string): Promise<void> {
    const old = this.#sql.exec<{ name: string }>("SELECT name FROM rooms WHERE at <= ?", this.nowMs() - MIN_COUNTED_MS);
    const names = old.toArray().map(({ name }) => name);
    const left = await Promise.all(names.map(async (name) => !(await this.env.ROOMS.getByName(name).isIn(session))));
    for (const [index, name] of names.entries())
      if (left[index]) this.#sql.exec("DELETE FROM rooms WHERE name = ?", name);
  }
}
