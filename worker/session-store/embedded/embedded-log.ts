import {
  endOf,
  entryIdOf,
  type LogEntry,
  type LoggedChange,
  type LogPage,
  type LogRead,
  pageOf,
} from "../session-log.ts";

/** Changes in one entry: a row may have 2 MB, and a change has less than 1 KB. */
const MAX_CHANGES_PER_ENTRY = 1000;

/** Entries over the limit, because it was lowered, that one append removes. */
const MAX_REMOVED_PER_APPEND = 100;

/** Entries that one read looks at, whose changes may all be of kinds that its reader does not want. */
const MAX_READ_ENTRIES = 10_000;

/** Where the numbers of a new table begin: one that is emptied does not give a number again. Numbers stay exact below 2^53. */
const FIRST_NUMBER_BELOW = 2 ** 48;

/**
 * The log of sessions in SQLite, a row per entry. An object is billed by the rows that it writes, so a run of a thousand requests
 * adds one, and when the log is full, the oldest row becomes the newest: that writes one row, not two.
 */
export class EmbeddedLog {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, changes TEXT NOT NULL)");
  }

  /** Adds what happened at `at` (epoch ms), and keeps the last `maxEntries` entries. */
  append(changes: readonly LoggedChange[], at: number, maxEntries: number): void {
    for (let first = 0; first < changes.length; first += MAX_CHANGES_PER_ENTRY) {
      this.#add(JSON.stringify(changes.slice(first, first + MAX_CHANGES_PER_ENTRY)), at, maxEntries);
    }
  }

  /** A page of the log. A log without entries gets one at `now` (epoch ms), for the reader to stand on. */
  read(read: LogRead, now: number): LogPage {
    const { after } = read;
    if (this.#ends() === null) this.#add("[]", now, 1);
    const last = this.#sql.exec<Row>("SELECT * FROM log ORDER BY number DESC LIMIT 1").one();
    if (after === null) return { kind: "events", events: [], position: endOf(entryOf(last)), more: false };
    const from = Number(entryIdOf(after));
    const rows = this.#sql.exec<Row>(
      "SELECT * FROM log WHERE number >= ? ORDER BY number LIMIT ?",
      Number.isSafeInteger(from) ? from : 0,
      MAX_READ_ENTRIES,
    );
    return pageOf(after, read, entriesOf(rows), entryOf(last));
  }

  #add(changes: string, at: number, maxEntries: number): void {
    const ends = this.#ends();
    const number = ends === null ? Math.floor(Math.random() * FIRST_NUMBER_BELOW) : ends.last + 1;
    if (ends === null || ends.last - ends.first + 1 < maxEntries) {
      this.#sql.exec("INSERT INTO log (number, at, changes) VALUES (?, ?, ?)", number, at, changes);
      return;
    }
    this.#sql.exec("UPDATE log SET number = ?, at = ?, changes = ? WHERE number = ?", number, at, changes, ends.first);
    const surplus = Math.min(number - ends.first - maxEntries, MAX_REMOVED_PER_APPEND);
    if (surplus > 0) this.#sql.exec("DELETE FROM log WHERE number <= ?", ends.first + surplus);
  }

  /** The numbers of the first and the last entry, between which none is missing; null if there is no entry. */
  #ends(): { readonly first: number; readonly last: number } | null {
    const { first, last } = this.#sql
      .exec<{ first: number | null; last: number | null }>(
        "SELECT (SELECT MIN(number) FROM log) AS first, (SELECT MAX(number) FROM log) AS last",
      )
      .one();
    return first === null || last === null ? null : { first, last };
  }
}

/** `changes` is JSON. */
type Row = { number: number; at: number; changes: string };

function entryOf({ number, at, changes }: Row): LogEntry {
  return { id: String(number), at, text: `${at}${changes}`, changes: JSON.parse(changes) as LoggedChange[] };
}

function* entriesOf(rows: Iterable<Row>): Generator<LogEntry> {
  for (const row of rows) yield entryOf(row);
}

/** How far beyond its end a lease is noted, so that a row is written once a minute and not with each read of the log. */
const NOTED_BEYOND_MS = 60_000;

/** By so much the clocks of two machines may differ on which an object runs one after the other. */
const CLOCK_SKEW_MS = 10_000;

/**
 * The leases that hubs may have granted. They are exact in memory. An object that lost its memory finds in the table who may
 * have granted any, and supposes the longest: granted just before it started.
 */
export class EmbeddedLeases {
  readonly #sql: SqlStorage;
  /** By hub; `until` and `notedUntil` are epoch ms. Read from the table when first used. */
  #leases: Map<string, { readonly until: number; readonly ms: number; readonly notedUntil: number }> | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS leases (hub TEXT PRIMARY KEY, ms INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID
    `);
  }

  /** Notes that leases of this hub run until `now + ms` (epoch ms). */
  extend({ hub, ms }: { readonly hub: string; readonly ms: number }, now: number): void {
    const leases = this.#open(now);
    const before = leases.get(hub);
    const until = Math.max(now + ms, before?.until ?? 0);
    if (before !== undefined && ms <= before.ms && until <= before.notedUntil) {
      leases.set(hub, { ...before, until });
      return;
    }
    const notedUntil = until + NOTED_BEYOND_MS;
    leases.set(hub, { until, ms, notedUntil });
    this.#sql.exec("DELETE FROM leases WHERE until <= ?", now - CLOCK_SKEW_MS);
    this.#sql.exec("INSERT OR REPLACE INTO leases (hub, ms, until) VALUES (?, ?, ?)", hub, ms, notedUntil);
  }

  /** The ms for which leases may still run, by hub. */
  running(now: number): ReadonlyMap<string, number> {
    const leases = this.#open(now);
    for (const [hub, { until }] of leases) if (until <= now) leases.delete(hub);
    return new Map([...leases].map(([hub, { until }]) => [hub, until - now]));
  }

  #open(now: number) {
    this.#leases ??= new Map(
      this.#sql
        .exec<{ hub: string; ms: number; until: number }>("SELECT * FROM leases WHERE until > ?", now - CLOCK_SKEW_MS)
        .toArray()
        .map(({ hub, ms, until }) => [hub, { until: now + ms, ms, notedUntil: until }]),
    );
    return this.#leases;
  }
}

/**
 * Until when somebody watches the log ({@link LogRead.watchMs}). It is exact in memory; an object that lost its memory supposes what
 * it has noted. It has a table of its own: a worker of an older version would wait for a watch among the leases as for a lease.
 */
export class EmbeddedWatch {
  readonly #sql: SqlStorage;
  /** Epoch ms. Read from the table when first used. */
  #until: number | undefined;
  #notedUntil = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS watch (id INTEGER PRIMARY KEY CHECK (id = 1), until INTEGER NOT NULL)");
  }

  /** Notes that somebody watches until `now + ms` (epoch ms). */
  extend(ms: number, now: number): void {
    const until = Math.max(now + ms, this.#open());
    this.#until = until;
    if (until <= this.#notedUntil) return;
    this.#notedUntil = until + NOTED_BEYOND_MS;
    this.#sql.exec("INSERT OR REPLACE INTO watch (id, until) VALUES (1, ?)", this.#notedUntil);
  }

  /** For how many ms somebody watches; nothing if nobody does. */
  running(now: number): { readonly watchMs?: number } {
    const watchMs = this.#open() - now;
    if (watchMs > 0) return { watchMs };
    this.#until = 0;
    this.#notedUntil = 0;
    return {};
  }

  #open(): number {
    if (this.#until === undefined) {
      const [noted] = this.#sql.exec<{ until: number }>("SELECT until FROM watch");
      this.#notedUntil = noted?.until ?? 0;
      this.#until = this.#notedUntil;
    }
    return this.#until;
  }
}
