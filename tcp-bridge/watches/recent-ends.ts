import { ByteWriter } from "../../protocol/packet-fields.ts";
import { type EndReason, type WatchNotice, writeWatchNotice } from "../../protocol/watch-packets.ts";

/** An end of a session, as the edge tells it. */
export interface SessionEnd {
  readonly position: string;
  /** Epoch ms, by the store's clock. */
  readonly at: number;
  readonly reason: EndReason;
  readonly sessid: number;
  readonly user: string | null;
}

/** What the edge's stream has told, as a connection is told it. */
export type StreamEntry =
  | { readonly kind: "ended"; readonly sessid: number; readonly position: string; readonly packet: Uint8Array }
  /** Everything up to the position was told. */
  | { readonly kind: "checkpoint"; readonly position: string }
  /** Ends before the position are lost. */
  | { readonly kind: "reset"; readonly position: string; readonly packet: Uint8Array };

/**
 * What the edge's stream told last, in the order of the log: a ring, which all watches of the bridge read. An entry has a sequence
 * number, which no other entry ever has. A position is opaque: it is known or not, and two cannot be compared.
 */
export class RecentEnds {
  readonly #maxEntries: number;
  readonly #entries: (StreamEntry | undefined)[];
  /** The sequence numbers of the positions since the last reset. */
  readonly #numbers = new Map<string, number>();
  #first = 0;
  #end = 0;
  #position: string | undefined;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
    this.#entries = Array(maxEntries).fill(undefined);
  }

  /** The number of the oldest entry. */
  get first(): number {
    return this.#first;
  }

  /** The number of the next entry. */
  get end(): number {
    return this.#end;
  }

  /** Where the stream stands; undefined before its first word. */
  get position(): string | undefined {
    return this.#position;
  }

  /** The entry with this number, which is in `first..end - 1`. */
  entry(number: number): StreamEntry {
    const entry = this.#entries[number % this.#maxEntries];
    if (entry === undefined || number < this.#first || number >= this.#end) throw new Error(`no entry ${number}`);
    return entry;
  }

  /** The number of the entry at this position; undefined: it is not here, or not any more. */
  numberOf(position: string): number | undefined {
    return this.#numbers.get(position);
  }

  /** Adds an end. Returns false if it is here already. */
  add(end: SessionEnd): boolean {
    const { position, sessid } = end;
    if (this.#numbers.has(position)) return false;
    this.#append({ kind: "ended", sessid, position, packet: endedPacket(end) });
    return true;
  }

  /** Everything up to `position` was told. */
  checkpoint(position: string): void {
    if (!this.#numbers.has(position)) this.#append({ kind: "checkpoint", position });
  }

  /** Ends before `position` are lost: it goes on from there. */
  reset(position: string, nowMs: number): void {
    this.#numbers.clear();
    this.#append({ kind: "reset", position, packet: noticePacket({ kind: "reset", at: nowMs, position }) });
  }

  /** Forgets everything: what is added next does not follow what was here. */
  clear(): void {
    this.#numbers.clear();
    this.#entries.fill(undefined);
    this.#first = this.#end;
    this.#position = undefined;
  }

  #append(entry: StreamEntry): void {
    if (this.#end - this.#first === this.#maxEntries) {
      const { position } = this.entry(this.#first);
      if (this.#numbers.get(position) === this.#first) this.#numbers.delete(position);
      this.#first += 1;
    }
    this.#entries[this.#end % this.#maxEntries] = entry;
    this.#numbers.set(entry.position, this.#end);
    this.#position = entry.position;
    this.#end += 1;
  }
}

/** The packet of an end. */
export function endedPacket({ position, at, reason, sessid, user }: SessionEnd): Uint8Array {
  return noticePacket({ kind: "ended", reason, sessid, at, position, user });
}

/** The packet of a notice. */
export function noticePacket(notice: WatchNotice): Uint8Array {
  const writer = new ByteWriter();
  writeWatchNotice(writer, notice);
  return writer.finish();
}
