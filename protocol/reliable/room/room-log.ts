import { ByteWriter } from "../../packet-fields.ts";
import { type PlayerPacket, type Presence, writePlayerPacket } from "../../player-packets.ts";

/** One entry of the log: the offsets are consecutive. */
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

/** Whether a member receives this entry: presence, messages to everybody, messages to it, and its own. */
export function isVisibleTo(entry: LogEntry, member: number): boolean {
  return entry.kind === "presence" || entry.to === 0 || entry.to === member || entry.from === member;
}

/** What an entry costs beside its text or body: about its row. */
const ENTRY_BYTES = 40;

/** What an entry costs in the log. */
export function logEntryBytes(entry: LogEntry): number {
  return entry.kind === "message" ? logMessageBytes(entry.body) : ENTRY_BYTES + entry.user.length;
}

/** What a message costs in the log. */
export function logMessageBytes(body: Uint8Array): number {
  return ENTRY_BYTES + body.byteLength;
}

/** Where the log is kept. Every method is synchronous, as SQLite in a Durable Object is. */
export interface LogStorage {
  /** The incarnation of the log: a random number of 1..2^53-1, chosen when the storage is created. */
  readonly epoch: number;
  /** The highest offset ever given, 0 at first; trimming does not change it. */
  readonly head: number;
  /** The lowest offset still kept, `head + 1` if the log is empty. */
  readonly first: number;
  /** Bytes of the log as {@link logEntryBytes} counts them. */
  readonly bytes: number;

  /** Appends an entry whose offset is `head + 1`. */
  append(entry: LogEntry): void;

  /** The entries above offset `after` that {@link isVisibleTo} the member, in order, at most `limit` of them. */
  read(after: number, member: number, limit: number): readonly LogEntry[];

  /** The offset before the last `messages` messages to everybody; `first - 1` if there are fewer. */
  historyStart(messages: number): number;

  /**
   * Deletes the oldest entries until the log is within its bounds or a member needs the next one. It calls `needs` only if
   * the log is beyond its bounds. The core calls it in each transaction, so it may leave some of a large deletion to the next.
   */
  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void;
}

/** How much of the log is kept: the bound that is reached first counts. */
export interface LogBounds {
  readonly maxEntries: number;
  /** Bytes as {@link logEntryBytes} counts them. */
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** How old an entry beyond those bounds may become while a member needs it. */
  readonly neededMs: number;
  /** The log's size limit in that case: half of it for connected members, all of it for held seats. */
  readonly maxNeededBytes: number;
}

/** The offset above which members need the log; `head` or more if they need nothing. */
export interface LogNeeds {
  /** Members with a connection, which have not acked what is above. */
  readonly connected: number;
  /** Members whose seat is held. */
  readonly held: number;
}

/** Whether the oldest entry of a log beyond its bounds must stay: `bytes` is the size of the log, this entry included. */
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

/**
 * Log entries, encoded one after another. The entries that one transaction appends for everybody form one run: each is
 * encoded once, and connections that get the same part of the run, which in a busy room most do, get the same array.
 */
export class DeliveryRun {
  /** Where the entries are in the run; it may be kept without the bytes. */
  readonly places = new RunPlaces();
  readonly #writer = new ByteWriter(256);
  #part: { readonly from: number; readonly to: number; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  /** Encodes an entry and returns its index. */
  add(entry: LogEntry): number {
    if (entry.kind === "presence") writePlayerPacket(this.#writer, entry);
    else {
      const { offset, from, to, body } = entry;
      writePlayerPacket(this.#writer, { kind: "deliver", offset, from, to, body });
    }
    return this.places.add(entry.offset, this.#writer.length);
  }

  /** The packets `from`..`to - 1`. The array is shared: do not change it. */
  bytes(from: number, to: number): Uint8Array<ArrayBuffer> {
    if (this.#part?.from !== from || this.#part.to !== to) {
      const bytes = this.#writer.finish().subarray(this.places.end(from - 1), this.places.end(to - 1));
      this.#part = { from, to, bytes };
    }
    return this.#part.bytes;
  }
}

/** Which log entries a run holds, and where the packet of each ends. All connections that were sent the run share it. */
export class RunPlaces {
  readonly #offsets: number[] = [];
  readonly #ends: number[] = [];

  /** Adds the entry with this offset in the log, whose packet ends at `end`; returns its index. */
  add(offset: number, end: number): number {
    this.#ends.push(end);
    return this.#offsets.push(offset) - 1;
  }

  /** The log offset of the entry at this index. */
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }

  /** Where its packet ends, 0 before the first. */
  end(index: number): number {
    return index < 0 ? 0 : (this.#ends[index] ?? 0);
  }

  /** Bytes of its packet. */
  size(index: number): number {
    return this.end(index) - this.end(index - 1);
  }
}

/** What a member was sent and has not acked: how far it is behind. */
export class UnackedDeliveries {
  /** Adjacent entries of a run are one part. */
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

  /** The member has acked everything up to `position`. */
  ack(position: number): void {
    for (let part = this.#parts[this.#first]; part !== undefined; part = this.#parts[this.#first]) {
      for (; part.from < part.to && part.places.offset(part.from) <= position; part.from++) {
        this.#bytes -= part.places.size(part.from);
      }
      if (part.from < part.to) break;
      this.#first += 1;
    }
    // Removing the front copies the rest, so wait until the front is at least half.
    if (this.#first * 2 >= this.#parts.length) {
      this.#parts = this.#parts.slice(this.#first);
      this.#first = 0;
    }
  }
}

/** Adjacent packets of a run. */
interface RunPart {
  readonly run: DeliveryRun;
  readonly from: number;
  to: number;
}

/** Collects the packets of one connection, in order, so that they leave as one write. */
export class PacketOutbox {
  #chunks: (Uint8Array<ArrayBuffer> | RunPart)[] = [];
  /** The last chunk, if a run can be continued there. */
  #part: RunPart | undefined;
  /** Packets for this connection alone, after the chunks. */
  #writer: ByteWriter | undefined;

  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** Adds the packet at this index of a run. */
  addDelivery(run: DeliveryRun, index: number): void {
    this.#endWriter();
    if (this.#part?.run === run && this.#part.to === index) {
      this.#part.to = index + 1;
      return;
    }
    this.#part = { run, from: index, to: index + 1 };
    this.#chunks.push(this.#part);
  }

  /** Takes out all packets as one array, which other connections may share: do not change it. */
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

/** The chunks as one array: a single chunk is not copied. */
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
