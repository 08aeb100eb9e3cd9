/** How a handover went. */
export interface HandoverReport {
  /** From the first sign of trouble to the session being established again. */
  readonly gapMs: number;
  /** Messages that were sent again or for the first time because of it, in both directions. */
  readonly replayed: number;
}

/**
 * The time between a path's first sign of trouble and the session's being established again, on whatever path. While it
 * lasts, the room holds the seat for its retention only.
 */
export class Handover {
  #beganMs: number | undefined;
  #replayed = 0;
  #seatDeadlineMs: number | undefined;

  get isOpen(): boolean {
    return this.#beganMs !== undefined;
  }

  /** When the seat must be taken for lost, undefined while a connection has it. */
  get seatDeadlineMs(): number | undefined {
    return this.#seatDeadlineMs;
  }

  /** The path is suspect or gone: true if that is news. Gone again, the seat is held anew but the gap goes on. */
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

  /** `messages` went out or came in because of it. */
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
