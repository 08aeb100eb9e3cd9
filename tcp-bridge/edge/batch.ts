import { ByteWriter } from "../../protocol/packet-fields.ts";
import { HEADER_BYTES, MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  ERROR_RESPONSE_TYPE,
  MAX_BATCH_BYTES,
  MAX_USER_BYTES,
  REQUEST_TYPES,
  type ServiceResponsePacket,
  serviceRequestKind,
  unknownTypeResponse,
  WATCH_REQUEST_TYPE,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import {
  failedResponse,
  MAX_BATCH_REQUESTS,
  type ServiceRequest,
  type ServiceResponse,
} from "../../protocol/session-request.ts";
import { type Status, statusOf } from "../../protocol/status-codes.ts";

/**
 * The kinds of batches, from the quickest to the slowest. A batch is answered as a whole, and a delete is answered only when all
 * bridges that hold leases know of it, so each kind has batches of its own: nobody's check waits for the delete of another connection.
 */
export const Lane = {
  /** Checks, counts, and what the edge refuses. */
  Read: 0,
  /** Registers and issues, which wait only if they end or change another session. */
  Create: 1,
  /** Deletes. */
  End: 2,
  /** What the bridge answers itself: it is in no batch. */
  None: 3,
} as const;

export type Lane = (typeof Lane)[keyof typeof Lane];

/** Those that have batches. */
export const LANES: readonly Lane[] = [Lane.Read, Lane.Create, Lane.End];

const LANE_OF_TYPE: Readonly<Record<number, Lane>> = {
  [REQUEST_TYPES.register]: Lane.Create,
  [REQUEST_TYPES.issue]: Lane.Create,
  [REQUEST_TYPES.delete]: Lane.End,
  [WATCH_REQUEST_TYPE]: Lane.None,
};

/** The lane of a request packet of this type. */
export function laneOf(type: number): Lane {
  return LANE_OF_TYPE[type] ?? Lane.Read;
}

/** A connection whose packets wait for the edge. */
export interface PacketSource {
  /** How many packets wait. */
  readonly waiting: number;
  /** The lane of the next packet. */
  readonly lane: Lane;

  /**
   * Moves packets from the front of the queue into the batch, at most `maxPackets` with at most `maxBytes` together; it may move
   * none. It starts with a packet of the batch's lane and stops at one of a slower lane. Packets of quicker lanes go with it: their
   * responses would wait for those before them anyway. Until {@link receiveResponses} is called, the source moves nothing into another
   * batch.
   */
  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void;

  /** Responds with Unavailable to waiting packets that were received before `beforeMs`: the edge cannot respond in time. */
  expire(beforeMs: number): void;

  /** Gets the responses, in order, to all packets that this source moved into one batch: to `requests`. */
  receiveResponses(responses: Uint8Array, requests: Uint8Array): void;
}

/** Adjacent whole packets, and when they were received. */
interface Run {
  readonly bytes: Uint8Array;
  /** Where the first packet starts that has not been taken. */
  at: number;
  packets: number;
  /** Later than that by the time for which the packets have waited for writes. */
  receivedMs: number;
}

/** Gets adjacent whole packets, their number, and when they were received. */
type RunSink = (bytes: Uint8Array, packets: number, receivedMs: number) => void;

/** The waiting packets of one connection, in order. It keeps the received chunks and copies none of them. */
export class PacketInbox {
  readonly #runs: Run[] = [];
  #packets = 0;

  /** How many packets wait. */
  get packets(): number {
    return this.#packets;
  }

  /** The type of the first packet; 0, which is no type, if none waits. */
  get nextType(): number {
    const first = this.#runs[0];
    return first === undefined ? 0 : packetType(first.bytes, first.at);
  }

  /** The first packet, as a view. There must be one. */
  get next(): Uint8Array {
    const { bytes, at } = this.#runs[0] ?? { bytes: new Uint8Array(0), at: 0 };
    return bytes.subarray(at, at + packetSizeAt(bytes, at));
  }

  push(bytes: Uint8Array, packets: number, receivedMs: number): void {
    this.#runs.push({ bytes, at: 0, packets, receivedMs });
    this.#packets += packets;
  }

  /** Takes packets from the front, as many as both bounds allow, and returns their number. */
  take(maxPackets: number, maxBytes: number, sink: RunSink): number {
    let packetsLeft = maxPackets;
    let bytesLeft = maxBytes;
    for (let run = this.#runs[0]; run !== undefined && packetsLeft > 0; run = this.#runs[0]) {
      const start = run.at;
      const whole = run.packets <= packetsLeft && run.bytes.byteLength - start <= bytesLeft;
      const taken = whole ? run.packets : leadingPackets(run, packetsLeft, bytesLeft);
      const end = whole ? run.bytes.byteLength : endOf(run, taken);
      if (taken > 0) sink(run.bytes.subarray(start, end), taken, run.receivedMs);
      packetsLeft -= taken;
      bytesLeft -= end - start;
      this.#packets -= taken;
      run.at = end;
      run.packets -= taken;
      if (run.packets > 0) break;
      this.#runs.shift();
    }
    return maxPackets - packetsLeft;
  }

  /** Takes all packets if they are adjacent in memory; undefined otherwise. */
  takeAdjacent(): Omit<Run, "at"> | undefined {
    const [run, another] = this.#runs;
    if (run === undefined || another !== undefined) return undefined;
    this.clear();
    return { ...run, bytes: run.bytes.subarray(run.at) };
  }

  /** Since `sinceMs` the packets could not be sent, because of another one of their connection: that takes nothing from their deadline. */
  excuseWait(sinceMs: number, nowMs: number): void {
    for (const run of this.#runs) run.receivedMs += nowMs - Math.max(run.receivedMs, sinceMs);
  }

  /** Takes the packets that were received before `beforeMs`, up to one that the bridge answers itself. */
  takeOlder(beforeMs: number, sink: RunSink): void {
    let older = 0;
    for (const run of this.#runs) {
      if (run.receivedMs >= beforeMs) break;
      older += run.packets;
    }
    const isForEdge = (type: number): boolean => laneOf(type) !== Lane.None;
    if (older > 0) this.take(this.leading(older, isForEdge), Number.POSITIVE_INFINITY, sink);
  }

  /** How many packets at the front, up to `maxPackets`, have a type that `accepts` accepts. */
  leading(maxPackets: number, accepts: (type: number) => boolean): number {
    let count = 0;
    for (const run of this.#runs) {
      for (let at = run.at; at < run.bytes.byteLength; at += packetSizeAt(run.bytes, at)) {
        const type = packetType(run.bytes, at);
        if (count === maxPackets || !accepts(type)) return count;
        count += 1;
      }
    }
    return count;
  }

  clear(): void {
    this.#runs.length = 0;
    this.#packets = 0;
  }
}

function leadingPackets(run: Run, maxPackets: number, maxBytes: number): number {
  let at = run.at;
  let packets = 0;
  while (packets < maxPackets && packets < run.packets) {
    at += packetSizeAt(run.bytes, at);
    if (at - run.at > maxBytes) break;
    packets += 1;
  }
  return packets;
}

function endOf(run: Run, packets: number): number {
  let at = run.at;
  for (let packet = 0; packet < packets; packet++) at += packetSizeAt(run.bytes, at);
  return at;
}

/** The part of a batch that comes from one source. */
export interface Segment {
  readonly source: PacketSource;
  packets: number;
  bytes: number;
}

/** The packets of one `POST /v1/packets`. The packets of each source are adjacent and in their order. */
export class Batch {
  /** The slowest lane of its packets. */
  readonly lane: Lane;
  readonly #segments = new Map<PacketSource, Segment & { readonly runs: Uint8Array[] }>();
  #packets = 0;
  #bytes = 0;
  #oldestMs = Number.POSITIVE_INFINITY;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get packets(): number {
    return this.#packets;
  }

  /** How many more packets the batch may hold. */
  get packetRoom(): number {
    return MAX_BATCH_REQUESTS - this.#packets;
  }

  /** How many more bytes the batch may hold. */
  get byteRoom(): number {
    return MAX_BATCH_BYTES - this.#bytes;
  }

  /** When the oldest packet was received. */
  get oldestMs(): number {
    return this.#oldestMs;
  }

  /** In the order of their packets in {@link body}. */
  get segments(): Iterable<Segment> {
    return this.#segments.values();
  }

  has(source: PacketSource): boolean {
    return this.#segments.has(source);
  }

  /** Adds adjacent whole packets. Do not change the bytes until {@link body} was called. */
  add(source: PacketSource, bytes: Uint8Array, packets: number, receivedMs: number): void {
    const segment = this.#segments.get(source);
    if (segment === undefined) {
      this.#segments.set(source, { source, packets, bytes: bytes.byteLength, runs: [bytes] });
    } else {
      segment.packets += packets;
      segment.bytes += bytes.byteLength;
      segment.runs.push(bytes);
    }
    this.#packets += packets;
    this.#bytes += bytes.byteLength;
    this.#oldestMs = Math.min(this.#oldestMs, receivedMs);
  }

  /** A copy of all packets, the only one that the bridge makes. */
  body(): Uint8Array {
    const body = Buffer.allocUnsafe(this.#bytes);
    let at = 0;
    for (const segment of this.#segments.values()) {
      for (const run of segment.runs) {
        body.set(run, at);
        at += run.byteLength;
      }
    }
    return body;
  }
}

/** Whether the packets contain an Issue. Executed twice it would create two sessions, so such a batch is never repeated. */
export function holdsIssue(packets: Uint8Array): boolean {
  for (let at = 0; at < packets.byteLength; at += packetSizeAt(packets, at)) {
    if (packetType(packets, at) === REQUEST_TYPES.issue) return true;
  }
  return false;
}

/**
 * Up to this many packets of a source are not split between batches: the rest would have to wait for the responses to the first
 * part, and if all sources were split, no second batch could be in flight.
 */
const WHOLE_PACKETS = 64;

/**
 * Fills a batch from the ready sources. Each source, from the first on, may add up to {@link WHOLE_PACKETS}; then all share the
 * remaining room equally. Sources that are in the batch or have no packets of its lane in front are removed from `ready`; the others
 * keep their order.
 *
 * Packets that were received before `expiredMs` are not sent.
 */
export function fillBatch(batch: Batch, ready: Set<PacketSource>, expiredMs: number): void {
  const sources: PacketSource[] = [];
  for (const source of ready) {
    source.expire(expiredMs);
    // What has expired was at the front, so the next packet may have another lane.
    if (source.waiting > 0 && source.lane === batch.lane) sources.push(source);
    else ready.delete(source);
    if (sources.length === MAX_BATCH_REQUESTS) break;
  }
  for (const source of sources) {
    if (batch.packetRoom === 0) break;
    source.moveInto(batch, Math.min(batch.packetRoom, WHOLE_PACKETS), batch.byteRoom);
  }
  // Twice: the second time shares the room that sources with few packets did not use.
  shareRoom(batch, sources);
  shareRoom(batch, sources);
  for (const source of sources) {
    if (batch.has(source) || source.waiting === 0 || source.lane !== batch.lane) ready.delete(source);
  }
}

function shareRoom(batch: Batch, sources: readonly PacketSource[]): void {
  const waiting = sources.filter((source) => source.waiting > 0);
  let left = waiting.length;
  for (const source of waiting) {
    const maxPackets = Math.ceil(batch.packetRoom / left);
    // A share smaller than a packet would starve a source of large packets.
    const maxBytes = Math.min(batch.byteRoom, Math.max(batch.byteRoom / left, MAX_SERVICE_PACKET_BYTES));
    if (maxPackets > 0) source.moveInto(batch, maxPackets, maxBytes);
    left -= 1;
  }
}

/** The responses to a batch. */
export interface SplitResponses {
  /** Those to each segment. */
  readonly parts: readonly Uint8Array[];
  /** How many bytes they take. A keep block may follow. */
  readonly bytes: number;
}

/**
 * Splits the edge's `responses` into those of each segment, or says what is wrong with them. Each packet's framing, type, size and
 * status must fit its request. Otherwise no response of the batch reaches a connection: it could be the response to another request.
 */
export function splitResponses(
  requests: Uint8Array,
  segments: Iterable<Segment>,
  responses: Uint8Array,
): SplitResponses | string {
  const parts: Uint8Array[] = [];
  let requestAt = 0;
  let at = 0;
  for (const segment of segments) {
    const start = at;
    for (let packet = 0; packet < segment.packets; packet++) {
      if (responses.byteLength - at <= HEADER_BYTES) return "too few responses";
      const size = packetSizeAt(responses, at);
      if (size > responses.byteLength - at || !respondsTo(packetType(requests, requestAt), responses, at, size)) {
        return `the response at byte ${at} does not fit its request`;
      }
      requestAt += packetSizeAt(requests, requestAt);
      at += size;
    }
    parts.push(responses.subarray(start, at));
  }
  return { parts, bytes: at };
}

function respondsTo(requestType: number, responses: Uint8Array, at: number, size: number): boolean {
  const type = packetType(responses, at);
  if (statusOf(responses[at + HEADER_BYTES] ?? 255) === undefined) return false;
  const expectedBytes = RESPONSE_BYTES[requestType];
  if (type === ERROR_RESPONSE_TYPE) {
    // An older edge does not know SessionIdentify. Its message's length must match.
    const isUnknown = expectedBytes === undefined || requestType === REQUEST_TYPES.identify;
    const messageBytes = (responses[at + 5] ?? 0) | ((responses[at + 6] ?? 0) << 8);
    return isUnknown && size === HEADER_BYTES + 3 + messageBytes && size <= MAX_SERVICE_PACKET_BYTES;
  }
  if (expectedBytes === undefined) return false;
  const ownUserBytes = userBytes(requestType, responses, at + expectedBytes);
  return type === requestType + 1 && size === expectedBytes + ownUserBytes && ownUserBytes <= MAX_USER_BYTES;
}

/** The bytes of the user that ends a SessionIdentifyResponse, whose length ends at `end`; other responses have none. */
function userBytes(requestType: number, responses: Uint8Array, end: number): number {
  if (requestType !== REQUEST_TYPES.identify) return 0;
  return (responses[end - 2] ?? 0) | ((responses[end - 1] ?? 0) << 8);
}

/** Responses that the bridge itself gives: to each request packet its own response with `status`, all other fields 0. */
export function bridgeResponses(requests: Uint8Array, packets: number, status: Status): Uint8Array {
  // 5 bytes are the response to a check, the most frequent one. For larger ones the writer grows.
  const writer = new ByteWriter(packets * 5);
  for (let at = 0; at < requests.byteLength; at += packetSizeAt(requests, at)) {
    const type = packetType(requests, at);
    const kind = serviceRequestKind(type);
    writeServiceResponse(writer, kind === undefined ? unknownTypeResponse(type, status) : failure(kind, status));
  }
  return writer.finish();
}

/** An ErrorResponse that says why the connection is refused or closed. */
export function errorResponse(status: Status, message: string): Uint8Array {
  return responsePacket({ kind: "error", status, message });
}

/** The response to a service key. */
export function serviceKeyResponse(status: Status): Uint8Array {
  return responsePacket({ kind: "serviceKey", status });
}

function responsePacket(response: ServiceResponsePacket): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, response);
  return writer.finish();
}

function failure(kind: ServiceRequest["kind"], status: Status): ServiceResponse {
  // The response has the kind of the request, which the type of failedResponse does not say.
  return failedResponse(kind, status) as ServiceResponse;
}

/** The size of the response to each request type, without the user of an identify. undefined for an unknown type. */
const RESPONSE_BYTES: (number | undefined)[] = Array.from({ length: ERROR_RESPONSE_TYPE }, (_, type) => {
  const kind = serviceRequestKind(type);
  return kind === undefined ? undefined : responsePacket(failure(kind, 0)).byteLength;
});
