/** The result of a handover. */
export interface HandoverReport {
  /** From the first sign of trouble to the session being established again. */
  readonly gapMs: number;
  /** Messages that waited for it or were sent again, in both directions. */
  readonly replayed: number;
}

/**
 * The time from a connection's first sign of trouble until the session is established again, on any connection. Meanwhile the
 * room may hold the seat, which it does only for the retention.
 */
export class Handover {
  #beganMs: number | undefined;
  #replayed = 0;
  #seatDeadlineMs: number | undefined;

  get isOpen(): boolean {
    return this.#beganMs !== undefined;
  }

  /** When the client must assume that the seat is lost, undefined while a connection has it. */
  get seatDeadlineMs(): number | undefined {
    return this.#seatDeadlineMs;
  }

  /** The connection is suspect or lost. Returns true if this begins a handover; within one it only restarts the retention. */
  begin(nowMs: number, retentionMs: number): boolean {
    this.#seatDeadlineMs = nowMs + retentionMs;
    if (this.isOpen) return false;
    this.#beganMs = nowMs;
    this.#replayed = 0;
    return true;
  }

  /** A new connection has the seat. */
  secure(): void {
    this.#seatDeadlineMs = undefined;
  }

  /** Counts messages that were sent or received because of it. */
  replay(messages: number): void {
    if (this.isOpen) this.#replayed += messages;
  }

  /** The session is established: the report, undefined if there was no handover. */
  end(nowMs: number): HandoverReport | undefined {
    const began = this.#beganMs;
    this.#beganMs = undefined;
    this.#seatDeadlineMs = undefined;
    return began === undefined ? undefined : { gapMs: nowMs - began, replayed: this.#replayed };
  }
}
