import type { RoomStorage } from "../../../protocol/reliable/room/room-core.ts";
import {
  isNeeded,
  isVisibleTo,
  type LogBounds,
  type LogEntry,
  type LogNeeds,
  logEntryBytes,
} from "../../../protocol/reliable/room/room-log.ts";
import type { Seat } from "../../../protocol/reliable/room/room-seats.ts";

/** A room's storage in memory. It outlives the room: a test can create a new room on it. */
export class MemoryRoomStorage implements RoomStorage {
  readonly epoch: number;
  readonly #seats = new Map<number, Seat>();
  readonly #onAppend: (entry: LogEntry) => void;
  #entries: LogEntry[] = [];
  /** Index in #entries of the first one that is kept. */
  #kept = 0;
  #bytes = 0;
  #head = 0;
  #members = 0;

  /** `onAppend` is called with each entry, also those that are trimmed later. */
  constructor(epoch: number, onAppend: (entry: LogEntry) => void = () => undefined) {
    this.epoch = epoch;
    this.#onAppend = onAppend;
  }

  get head(): number {
    return this.#head;
  }

  get first(): number {
    return this.#head - this.length + 1;
  }

  /** Entries kept. */
  get length(): number {
    return this.#entries.length - this.#kept;
  }

  /** Bytes kept, as logEntryBytes counts them. */
  get bytes(): number {
    return this.#bytes;
  }

  append(entry: LogEntry): void {
    if (entry.offset !== this.#head + 1) throw new Error(`offset ${entry.offset} after ${this.#head}`);
    this.#head = entry.offset;
    this.#bytes += logEntryBytes(entry);
    this.#entries.push(entry);
    this.#onAppend(entry);
  }

  read(after: number, member: number, limit: number): readonly LogEntry[] {
    const page: LogEntry[] = [];
    const start = this.#kept + Math.max(0, after + 1 - this.first);
    for (let at = start; at < this.#entries.length && page.length < limit; at++) {
      const entry = this.#entries[at];
      if (entry !== undefined && isVisibleTo(entry, member)) page.push(entry);
    }
    return page;
  }

  historyStart(messages: number): number {
    let left = messages;
    for (let at = this.#entries.length - 1; at >= this.#kept; at--) {
      const entry = this.#entries[at];
      if (entry?.kind !== "message" || entry.to !== 0) continue;
      left -= 1;
      if (left === 0) return entry.offset - 1;
    }
    return messages === 0 ? this.#head : this.first - 1;
  }

  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void {
    if (this.length === 0 || !this.#isBeyond(bounds, nowMs)) return;
    const needed = needs();
    while (this.length > 0 && this.#isBeyond(bounds, nowMs)) {
      const oldest = this.#entries[this.#kept];
      if (oldest === undefined || isNeeded(oldest, this.#bytes, bounds, needed, nowMs)) break;
      this.#bytes -= logEntryBytes(oldest);
      this.#kept += 1;
    }
    if (this.#kept > 1024 && this.#kept * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#kept);
      this.#kept = 0;
    }
  }

  loadSeats(): readonly Seat[] {
    return [...this.#seats.values()];
  }

  saveSeat(seat: Seat): void {
    this.#seats.set(seat.member, seat);
  }

  deleteSeat(member: number): void {
    this.#seats.delete(member);
  }

  takeMemberNumber(): number {
    this.#members += 1;
    return this.#members;
  }

  #isBeyond({ maxEntries, maxBytes, maxAgeMs }: LogBounds, nowMs: number): boolean {
    const oldestMs = this.#entries[this.#kept]?.atMs ?? nowMs;
    return this.length > maxEntries || this.#bytes > maxBytes || oldestMs < nowMs - maxAgeMs;
  }
}
