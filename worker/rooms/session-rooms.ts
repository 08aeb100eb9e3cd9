import { DurableObject } from "cloudflare:workers";

/** What of the worker's bindings it uses. */
interface SessionRoomsBindings {
  readonly ROOMS: DurableObjectNamespace<RoomPresence>;
}

/** A room, as far as it tells whether a session is in it. */
interface RoomPresence extends Rpc.DurableObjectBranded {
  isIn(session: string): boolean;
}

/** So long a room counts that was entered, whatever has become of the seat: rooms cost storage, also empty ones. */
const LEAST_MS = 60_000;

/** A session that has entered no other room for so long is forgotten. */
const FORGOTTEN_MS = 24 * 60 * 60 * 1000;

/**
 * Counts the rooms that a session is in: one object for each session that enters rooms. A room asks before it gives the session a seat
 * that is new to it, so a resume costs nothing. Nobody tells this object of a seat that has ended: when the count is
 * reached, it asks the rooms.
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

  /** Whether the session may enter this room too, if it may be in `most`; then it is counted. */
  async enter(session: string, room: string, most: number): Promise<boolean> {
    if (this.#count() >= most && !this.#has(room)) await this.#dropLeft(session);
    // Nothing may be awaited from here on: others ask at the same time.
    if (this.#count() >= most && !this.#has(room)) return false;
    const nowMs = this.nowMs();
    this.#sql.exec("INSERT OR REPLACE INTO rooms (name, at) VALUES (?, ?)", room, nowMs);
    this.ctx.waitUntil(this.ctx.storage.setAlarm(nowMs + FORGOTTEN_MS));
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
    const old = this.#sql.exec<{ name: string }>("SELECT name FROM rooms WHERE at <= ?", this.nowMs() - LEAST_MS);
    const names = old.toArray().map(({ name }) => name);
    const left = await Promise.all(names.map(async (name) => !(await this.env.ROOMS.getByName(name).isIn(session))));
    for (const [index, name] of names.entries())
      if (left[index]) this.#sql.exec("DELETE FROM rooms WHERE name = ?", name);
  }
}
