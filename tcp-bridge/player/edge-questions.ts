/** Pings whose answer is pending: a player who sends more without an answer loses nothing that it can use. */
const MAX_NONCES = 64;

/** A client of ours sends one in some seconds; each costs the bridge time. */
const MAX_PINGS_PER_SECOND = 1_000;

/** What the edge has been asked and has not answered: a Join, and whether the path is alive. */
export class EdgeQuestions {
  readonly #deadlineMs: number;
  #joinDueMs = Number.POSITIVE_INFINITY;
  #pongDueMs = Number.POSITIVE_INFINITY;
  #nonces: number[] = [];
  #pings = 0;
  #pingsSinceMs = 0;

  /** `deadlineMs`: how long an answer may take. */
  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  /** The room is asked to let the player in. */
  join(nowMs: number): void {
    this.#joinDueMs = nowMs + this.#deadlineMs;
  }

  joinAnswered(): void {
    this.#joinDueMs = Number.POSITIVE_INFINITY;
  }

  /** The player sends a Ping; false if it has sent too many within a second. */
  countPing(nowMs: number): boolean {
    if (nowMs - this.#pingsSinceMs >= 1_000) {
      this.#pingsSinceMs = nowMs;
      this.#pings = 0;
    }
    this.#pings += 1;
    return this.#pings <= MAX_PINGS_PER_SECOND;
  }

  /** Whether to ask the edge if it is alive: not if it is asked already. `nonce` is of the player's Ping, if that wants to know. */
  ping(nowMs: number, nonce?: number): boolean {
    if (nonce !== undefined && this.#nonces.length < MAX_NONCES) this.#nonces.push(nonce);
    if (Number.isFinite(this.#pongDueMs)) return false;
    this.#pongDueMs = nowMs + this.#deadlineMs;
    return true;
  }

  /** The edge is alive; returns the nonces of the Pings that wanted to know. */
  pong(): readonly number[] {
    const nonces = this.#nonces;
    this.#nonces = [];
    this.#pongDueMs = Number.POSITIVE_INFINITY;
    return nonces;
  }

  /** The answer may lie behind what the player does not read. */
  postpone(nowMs: number): void {
    if (Number.isFinite(this.#pongDueMs)) this.#pongDueMs = nowMs + this.#deadlineMs;
  }

  isOverdue(nowMs: number): boolean {
    return nowMs > this.#joinDueMs || nowMs > this.#pongDueMs;
  }
}
