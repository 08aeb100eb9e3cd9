/** What a check said of a session. */
export type Verdict = "valid" | "invalid";

/** A session, and what its owner knows of it. Times are of one clock, in ms. */
export interface TrueSession {
  readonly sessid: number;
  readonly user: string;
  /** Undefined if it was registered by a packet, whose response has none. */
  readonly token: string | undefined;
  /** When the delete was sent first; undefined: not yet. */
  deleteSentMs: number | undefined;
  /** When it was answered. */
  deletedMs: number | undefined;
}

/** A check, as its caller saw it. */
export interface JudgedCheck {
  /** Who asked, and how. */
  readonly caller: string;
  readonly sessid: number;
  readonly firstAskedMs: number;
  /** When the try began that got the verdict. */
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly verdict: Verdict;
  /** What came instead of a verdict before it was asked again: Unavailable. A lost connection is none. */
  readonly refusals: readonly string[];
  /** Why the verdict is wrong; undefined: it is right. */
  readonly wrong: string | undefined;
}

/** How many sessions that have ended are still asked about. */
const REMEMBERED_ENDS = 40;

/** Knows of each session when its create and its delete were answered, and so which verdict is right at any time. */
export class SessionTruth {
  readonly checks: JudgedCheck[] = [];
  readonly #living: TrueSession[] = [];
  readonly #ended: TrueSession[] = [];
  readonly #deleted = new Set<number>();

  /** The numbers of the sessions whose delete was answered. */
  get deleted(): ReadonlySet<number> {
    return this.#deleted;
  }

  get living(): readonly TrueSession[] {
    return this.#living;
  }

  created(session: TrueSession): void {
    this.#living.push(session);
  }

  /** The delete was answered. */
  ended(session: TrueSession, nowMs: number): void {
    session.deletedMs = nowMs;
    this.#deleted.add(session.sessid);
    this.#living.splice(this.#living.indexOf(session), 1);
    this.#ended.push(session);
    if (this.#ended.length > REMEMBERED_ENDS) this.#ended.shift();
  }

  /** A session to ask about: one in four has ended. */
  pick(hasToken: boolean): TrueSession | undefined {
    const from = Math.random() < 0.25 ? this.#ended : this.#living;
    const sessions = hasToken ? from.filter(({ token }) => token !== undefined) : from;
    return sessions[Math.floor(Math.random() * sessions.length)];
  }

  /** Takes the outcome of a check of a session whose create was answered before it was asked. */
  judge(check: Omit<JudgedCheck, "wrong" | "sessid">, session: TrueSession): void {
    this.checks.push({ ...check, sessid: session.sessid, wrong: wrongOf(check, session) });
  }
}

function wrongOf(
  { verdict, askedMs, answeredMs }: Pick<JudgedCheck, "verdict" | "askedMs" | "answeredMs">,
  { deleteSentMs = Number.POSITIVE_INFINITY, deletedMs = Number.POSITIVE_INFINITY }: TrueSession,
): string | undefined {
  if (verdict === "valid") return askedMs > deletedMs ? "its delete had been answered" : undefined;
  return answeredMs < deleteSentMs ? "its delete had not been sent" : undefined;
}
