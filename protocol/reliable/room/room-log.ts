import { ByteWriter } from "../../packet-fields.ts";
import { type PlayerPacket, type Presence, writePlayerPacket } from "../../player-packets.ts";

/** What a room keeps that must outlive its memory. Every method is synchronous, as SQLite in a Durable Object is. */
export interface RoomStorage {
  /** The incarnation of the log: a random number of 1..2^53-1, chosen with the storage. */
  readonly epoch: number;
  /** The highest offset ever given, 0 at first; trimming does not change it. */
  readonly head: number;
  /** The lowest offset still kept, `head + 1` if none is. */
  readonly first: number;
  /** Bytes of the log as {@link logEntryBytes} counts them. */
  readonly bytes: number;

  /** Keeps an entry whose offset is `head + 1`. */
  append(entry: LogEntry): void;

  /** The entries above offset `after` that {@link isVisibleTo} the member, in order, at most `limit` of them. */
  read(after: number, member: number, limit: number): readonly LogEntry[];

  /** The offset after which the last `messages` messages to everybody begin; `first - 1` if there are not so many. */
  historyStart(messages: number): number;

  /**
   * Deletes the oldest entries until the log is within its bounds, or somebody needs what is next. `needs` is asked only if
   * the log is beyond its bounds. Called in each turn; one that has very much to delete may leave some of it to the next.
   */
  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void;

  loadSeats(): readonly Seat[];
  saveSeat(seat: Seat): void;
  deleteSeat(member: number): void;

  /** The next member's number: 1, 2, 3, ... and none twice in an epoch. */
  takeMemberNumber(): number;
}

/** How much of the log is kept: whatever bound is reached first. */
export interface LogBounds {
  readonly maxEntries: number;
  /** Bytes as {@link logEntryBytes} counts them. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** How old an entry may be that is kept beyond those bounds because somebody needs it. */
  readonly neededMs: number;
  /** Bytes of the log when it is: half of them for connected members, all of them for held seats. */
  readonly maxNeededBytes: number;
}

/** Above which offset the log is needed: `head` or more if nothing is. */
export interface LogNeeds {
  /** By members who have a connection, and have not acknowledged it. */
  readonly connected: number;
  /** By members whose seat is held. */
  readonly held: number;
}

/** Whether the oldest entry of a log that is beyond its bounds must stay: `bytes` is what is kept, this entry included. */
export function isNeeded(
  oldest: { readonly offset: number; readonly atMs: number },
  bytes: number,
  { neededMs, maxNeededBytes }: LogBounds,
  needs: LogNeeds,
  nowMs: number,
): boolean {
  if (oldest.atMs < nowMs - neededMs || bytes > maxNeededBytes) return false;
  return oldest.offset > needs.held || (oldest.offset > needs.connected && bytes <= maxNeededBytes / 2);
}

/** One line of the log: offsets have no holes. */
export type LogEntry = LogMessage | LogPresence;

export interface LogMessage {
  readonly kind: "message";
  readonly offset: number;
  /** The sender's member number, 0 for the server. */
  readonly from: number;
  /** 0 is everybody, else one member. */
  readonly to: number;
  readonly body: Uint8Array;
  readonly atMs: number;
}

export interface LogPresence {
  readonly kind: "presence";
  readonly offset: number;
  readonly member: number;
  readonly state: Presence;
  readonly user: string;
  readonly atMs: number;
}

/** A member, with or without a connection. */
export interface Seat {
  /** The player's number in this room. */
  readonly member: number;
  /** Which session has it: the same text for the same session only, whatever happens to its sessid. */
  readonly session: string;
  readonly user: string;
  /** The offset after which the member may read. */
  readonly start: number;
  /** The highest seq that is durable. */
  readonly received: number;
  /** The `attempt` of the newest Join. */
  readonly attempt: number;
  /** Since when it has no connection, in ms; null while it has one. */
  readonly heldSinceMs: number | null;
}

/** Whether a member gets this entry: what is for everybody, for it alone, or its own. */
export function isVisibleTo(entry: LogEntry, member: number): boolean {
  return entry.kind === "presence" || entry.to === 0 || entry.to === member || entry.from === member;
}

/** What an entry costs beside its text or body: about its row. */
const ENTRY_BYTES = 40;

/** What an entry costs. */
export function logEntryBytes(entry: LogEntry): number {
  return entry.kind === "message" ? logMessageBytes(entry.body) : ENTRY_BYTES + entry.user.length;
}

/** What a message costs as an entry. */
export function logMessageBytes(body: Uint8Array): number {
  return ENTRY_BYTES + body.byteLength;
}

/**
 * Log entries as packets, written one behind the other. A turn's broadcasts are one run: each is written once, and sockets
 * that get the same part of it, which in a busy room most do, get the same array.
 */
export class DeliveryRun {
  /** Where the entries lie; it may be kept without the bytes. */
  readonly places = new RunPlaces();
  readonly #writer = new ByteWriter(256);
  #part: { readonly from: number; readonly to: number; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  /** Writes an entry, and returns its index. */
  add(entry: LogEntry): number {
    if (entry.kind === "presence") writePlayerPacket(this.#writer, entry);
    else {
      const { offset, from, to, body } = entry;
      writePlayerPacket(this.#writer, { kind: "deliver", offset, from, to, body });
    }
    return this.places.add(entry.offset, this.#writer.length);
  }

  /** The packets `from`..`to - 1`, which must not be changed. */
  bytes(from: number, to: number): Uint8Array<ArrayBuffer> {
    if (this.#part?.from !== from || this.#part.to !== to) {
      const bytes = this.#writer.finish().subarray(this.places.end(from - 1), this.places.end(to - 1));
      this.#part = { from, to, bytes };
    }
    return this.#part.bytes;
  }
}

/** Which log entries a run of packets holds, and where each ends: shared by all connections that were sent of it. */
export class RunPlaces {
  readonly #offsets: number[] = [];
  readonly #ends: number[] = [];

  /** Adds the entry with this offset in the log, whose packet ends at `end`; returns its index. */
  add(offset: number, end: number): number {
    this.#ends.push(end);
    return this.#offsets.push(offset) - 1;
  }

  /** The offset in the log of the entry at this index. */
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }

  /** Where its packet ends, 0 in front of the first. */
  end(index: number): number {
    return index < 0 ? 0 : (this.#ends[index] ?? 0);
  }

  /** Bytes of its packet. */
  size(index: number): number {
    return this.end(index) - this.end(index - 1);
  }
}

/** What a member was sent and has not acknowledged: all that can be seen of how far behind it is. */
export class UnackedDeliveries {
  /** Neighbours in a run are one part. */
  #parts: { readonly places: RunPlaces; from: number; to: number }[] = [];
  #first = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The entry at this index of a run was sent. */
  add(places: RunPlaces, index: number): void {
    const last = this.#parts[this.#parts.length - 1];
    if (last?.places === places && last.to === index) last.to = index + 1;
    else this.#parts.push({ places, from: index, to: index + 1 });
    this.#bytes += places.size(index);
  }

  /** The member has everything up to `position`. */
  acknowledge(position: number): void {
    for (let part = this.#parts[this.#first]; part !== undefined; part = this.#parts[this.#first]) {
      for (; part.from < part.to && part.places.offset(part.from) <= position; part.from++) {
        this.#bytes -= part.places.size(part.from);
      }
      if (part.from < part.to) break;
      this.#first += 1;
    }
    // Cutting off the front costs its length: it is done when that is at least half.
    if (this.#first * 2 >= this.#parts.length) {
      this.#parts = this.#parts.slice(this.#first);
      this.#first = 0;
    }
  }
}

/** Neighbours in a run. */
interface RunPart {
  readonly run: DeliveryRun;
  readonly from: number;
  to: number;
}

/** Collects the packets that one turn of the event loop has for one socket, so that they leave as one write. */
export class PacketOutbox {
  #chunks: (Uint8Array<ArrayBuffer> | RunPart)[] = [];
  /** The last chunk, if a run can go on there. */
  #part: RunPart | undefined;
  /** Packets of this socket alone, behind the chunks. */
  #writer: ByteWriter | undefined;

  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** The packet at this index of a run, which is written already. */
  addDelivery(run: DeliveryRun, index: number): void {
    this.#endWriter();
    if (this.#part?.run === run && this.#part.to === index) {
      this.#part.to = index + 1;
      return;
    }
    this.#part = { run, from: index, to: index + 1 };
    this.#chunks.push(this.#part);
  }

  /** Takes out what was collected, as one array, which must not be changed: other sockets may have the same one. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    this.#endWriter();
    if (this.#chunks.length === 0) return undefined;
    const chunks = this.#chunks.map((chunk) =>
      chunk instanceof Uint8Array ? chunk : chunk.run.bytes(chunk.from, chunk.to),
    );
    this.#chunks = [];
    this.#part = undefined;
    return joinChunks(chunks);
  }

  #endWriter(): void {
    if (this.#writer === undefined) return;
    this.#chunks.push(this.#writer.finish());
    this.#writer = undefined;
    this.#part = undefined;
  }
}

/** One array of the chunks, in their order: the chunk itself if it is alone. */
function joinChunks(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const joined = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  return joined;
}
