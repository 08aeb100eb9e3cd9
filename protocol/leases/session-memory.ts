/** What a bridge may keep. */
export interface LeasedSessionsLimits {
  /** BRIDGE_CACHE_SESSIONS: above it the session that was kept first is forgotten. */
  readonly maxSessions: number;
  /** The same for the memory that the kept sessions need, about. */
  readonly maxBytes: number;
  /** BRIDGE_CACHE_MS: no session is kept for longer, whatever the edge says. At most {@link MAX_KEEP_MS}. */
  readonly maxKeepMs: number;
}

/** A session that the primary said is valid. A field is null until a response had it. */
export interface LeasedSession {
  readonly sessid: number;
  readonly user: string | null;
  /** The secret of its token, as a client has shown it and the store has accepted it. */
  readonly secret: Uint8Array | null;
  readonly grants: readonly string[] | null;
}

/** The longest time for which a session may be kept. */
export const MAX_KEEP_MS = 60_000;

/** No lookup takes longer: what arrives later is not kept. Above the deadlines of batches and of the store together. */
export const MAX_LOOKUP_MS = 10_000;

/** What an entry, and each of its texts, needs beside the characters, about. */
const ENTRY_BYTES = 256;
const TEXT_BYTES = 24;

/** Entries whose time has come are found in steps of this length. */
const STEP_MS = 250;

/** A kept session. */
interface Entry extends LeasedSession {
  readonly keepUntilMs: number;
  /** When it is to be looked up again, if it is in use. */
  readonly dueMs: number;
  readonly bytes: number;
  isUsed: boolean;
  /** Whether `dueMs` was noticed. */
  isDue: boolean;
  /** Where it is in the ring. */
  step: number;
}

/** The kept sessions: by sessid, the one that was kept first in front; and by the time when something becomes of them. */
export class SessionMemory {
  readonly #limits: LeasedSessionsLimits;
  readonly #entries = new Map<number, Entry>();
  /** A ring: the entries of step n are in `n % length`. It is longer than any keep. */
  readonly #ring: readonly Set<Entry>[];
  /** Due entries that were used afterwards. */
  #late: number[] = [];
  #takenStep = -1;
  #bytes = 0;

  constructor(limits: LeasedSessionsLimits) {
    this.#limits = limits;
    this.#ring = Array.from({ length: MAX_KEEP_MS / STEP_MS + 2 }, () => new Set<Entry>());
  }

  get size(): number {
    return this.#entries.size;
  }

  get(sessid: number, nowMs: number): LeasedSession | undefined {
    const entry = this.#entries.get(sessid);
    if (entry === undefined || nowMs >= entry.keepUntilMs) return undefined;
    if (!entry.isUsed) {
      entry.isUsed = true;
      if (entry.isDue) this.#late.push(sessid);
    }
    return entry;
  }

  put(session: LeasedSession, begunMs: number, keepMs: number, nowMs: number): void {
    const { sessid } = session;
    const kept = this.#entries.get(sessid);
    // After the end of its keep the number may be another session's, of which the change is still on its way.
    const old = kept !== undefined && nowMs < kept.keepUntilMs && mayBeOfOneState(kept, session) ? kept : undefined;
    this.delete(sessid);
    const user = session.user ?? old?.user ?? null;
    const secret = session.secret ?? old?.secret ?? null;
    const grants = session.grants ?? old?.grants ?? null;
    const keepUntilMs = begunMs + keepMs;
    const dueMs = keepUntilMs - keepMs * leadOf(sessid);
    const bytes = bytesOf(user, secret, grants);
    const entry = { sessid, user, secret, grants, keepUntilMs, dueMs, bytes, isUsed: false, isDue: false, step: 0 };
    this.#entries.set(sessid, entry);
    this.#bytes += bytes;
    this.#schedule(entry, dueMs, nowMs);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.maxSessions && this.#bytes <= this.#limits.maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(sessid: number): void {
    const entry = this.#entries.get(sessid);
    if (entry === undefined) return;
    this.#entries.delete(sessid);
    this.#bytes -= entry.bytes;
    this.#stepSet(entry.step).delete(entry);
  }

  clear(): void {
    this.#entries.clear();
    for (const set of this.#ring) set.clear();
    this.#late = [];
    this.#bytes = 0;
  }

  /** The sessions to look up again. It also removes those that may not be kept any longer. */
  takeDue(nowMs: number): number[] {
    const due = this.#late.filter((sessid) => this.#entries.has(sessid));
    this.#late = [];
    const current = stepOf(nowMs);
    // After a long pause one turn of the ring has every entry.
    for (let step = Math.max(this.#takenStep + 1, current - this.#ring.length + 1); step <= current; step++) {
      for (const entry of [...this.#stepSet(step)]) {
        if (entry.step > current) continue;
        this.#stepSet(step).delete(entry);
        if (nowMs >= entry.keepUntilMs) this.delete(entry.sessid);
        else {
          if (entry.isUsed && !entry.isDue) due.push(entry.sessid);
          entry.isDue = true;
          this.#schedule(entry, entry.keepUntilMs, nowMs);
        }
      }
    }
    this.#takenStep = current;
    return due;
  }

  /** Not in the current step, which may have been taken. */
  #schedule(entry: Entry, atMs: number, nowMs: number): void {
    entry.step = Math.max(stepOf(atMs), stepOf(nowMs) + 1);
    this.#stepSet(entry.step).add(entry);
  }

  #stepSet(step: number): Set<Entry> {
    const set = this.#ring[step % this.#ring.length];
    if (set === undefined) throw new Error(`step ${step} is no natural number`);
    return set;
  }
}

/** The changes of the last {@link MAX_LOOKUP_MS}, by their sequence numbers. */
export class RecentChanges {
  /** The sequence number of the newest change. */
  last = 0;
  /** This change was about every session. */
  #all = 0;
  /** The newest change of each session; what is in neither map is older than every lookup that counts. */
  #newer = new Map<number, number>();
  #older = new Map<number, number>();
  #turnedMs = Number.NEGATIVE_INFINITY;

  add(sessid: number, nowMs: number): void {
    if (nowMs - this.#turnedMs >= MAX_LOOKUP_MS) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#turnedMs = nowMs;
    } else if (this.#newer.size >= MAX_RECENT_CHANGES) this.addAll();
    this.last += 1;
    this.#newer.set(sessid, this.last);
  }

  addAll(): void {
    this.last += 1;
    this.#all = this.last;
    this.#newer.clear();
    this.#older.clear();
  }

  isChangedSince(sessid: number, change: number): boolean {
    return this.#all > change || (this.#newer.get(sessid) ?? this.#older.get(sessid) ?? 0) > change;
  }
}

/** Bounds {@link RecentChanges}, about 100 bytes each: above it, all lookups that have begun are not kept. */
const MAX_RECENT_CHANGES = 50_000;

/**
 * Whether what was kept and what is told now may be said together. If the grants are others, the change between them is still on
 * its way to the bridge: a mixture would let the token that it has ended enter by the grants that came with another.
 */
function mayBeOfOneState(kept: LeasedSession, told: LeasedSession): boolean {
  // Who tells the secret tells everything; a plain check tells nothing.
  if (told.secret !== null) return false;
  return told.grants === null || (kept.grants !== null && isSameList(told.grants, kept.grants));
}

function isSameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}

function stepOf(atMs: number): number {
  return Math.floor(atMs / STEP_MS);
}

/**
 * How much of its keep is left when a session is looked up again: a quarter to a half, differently for each, so that sessions
 * that were kept together are not looked up together.
 */
function leadOf(sessid: number): number {
  // Knuth's multiplicative hash (The Art of Computer Programming, volume 3, 6.4): 2^32 divided by the golden ratio.
  return 1 / 4 + (Math.imul(sessid, 0x9e3779b1) >>> 24) / 1024;
}

function bytesOf(user: string | null, secret: Uint8Array | null, grants: readonly string[] | null): number {
  const texts = [...(user === null ? [] : [user]), ...(grants ?? [])];
  const characters = texts.reduce((sum, { length }) => sum + length, 0);
  return ENTRY_BYTES + TEXT_BYTES * texts.length + 2 * characters + (secret?.byteLength ?? 0);
}
