import { KeepReader } from "../../protocol/leases/keep-block.ts";
import type { LeasedSessions, Lookup, Verdict } from "../../protocol/leases/leased-sessions.ts";
import type { LeasedSession } from "../../protocol/leases/session-memory.ts";
import { ByteReader } from "../../protocol/packet-fields.ts";
import { HEADER_BYTES, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  decodeServiceResponse,
  MAX_RESOURCE_BYTES,
  MAX_USER_BYTES,
  REQUEST_TYPES,
  sessidAt,
} from "../../protocol/service-packets.ts";
import { grantsAllow } from "../../protocol/session-request.ts";
import { TOKEN_BYTES, TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";

/** The responses to the packets at the front of a run. */
export interface MemoryAnswer {
  /** How many packets were answered, and how many bytes of the run they take. */
  readonly packets: number;
  readonly bytes: number;
  /** Not changed later. */
  readonly responses: Uint8Array;
}

const { check, checkAccess, identify, register, delete: deletion } = REQUEST_TYPES;

/** A packet whose payload is a sessid. */
const SESSID_PACKET_BYTES = HEADER_BYTES + 4;
/** A packet whose payload begins with a token. */
const TOKEN_PACKET_BYTES = HEADER_BYTES + TOKEN_BYTES;

/** SessionCheckResponse and CheckAccessResponse: a status alone. */
const STATUS_PACKET_BYTES = HEADER_BYTES + 1;
/** SessionIdentifyResponse without its user: status, sessid, the length of the user. */
const IDENTITY_BYTES = HEADER_BYTES + 1 + 4 + 2;

/** The responses to so many checks that are Ok: as many checks as one read from a socket (64 KiB) can hold. */
const MAX_OK_CHECKS = (64 * 1024) / SESSID_PACKET_BYTES;
const OK_CHECKS = Buffer.concat(
  Array(MAX_OK_CHECKS).fill(Buffer.from([STATUS_PACKET_BYTES, 0, check + 1, 0, Status.Ok])),
);
/** Views of its front, by the number of responses. */
const okChecksOf: (Buffer | undefined)[] = [];

function okChecks(packets: number): Buffer {
  okChecksOf[packets] ??= OK_CHECKS.subarray(0, packets * STATUS_PACKET_BYTES);
  return okChecksOf[packets];
}

/** Where other responses to one run are written, before they are copied. */
const scratch = Buffer.alloc(64 * 1024);
const SCRATCH_LIMIT = scratch.byteLength - IDENTITY_BYTES - MAX_USER_BYTES;

/**
 * What the bridge keeps of sessions, in terms of packets: it answers requests from memory, and learns from the responses of the edge.
 * It only ever says Ok. That a session does not exist or may not enter is never kept, so it comes from the edge.
 */
export class KeptSessions {
  readonly #sessions: LeasedSessions;
  readonly #clocks = new Clocks();

  constructor(sessions: LeasedSessions) {
    this.#sessions = sessions;
  }

  /** The time of the machine, by both clocks. */
  now(): number {
    const { monotonicMs, wallMs } = this.#clocks.read();
    return this.#sessions.timeAt(monotonicMs, wallMs);
  }

  /** Whether memory answers now. */
  get holdsLease(): boolean {
    return this.#sessions.holdsLease(this.now());
  }

  /**
   * Answers the packets at the front of `run`, up to the first that must go to the edge; undefined if that is the first one. `run`
   * holds whole packets.
   */
  answer(run: Uint8Array): MemoryAnswer | undefined {
    const nowMs = this.now();
    if (!this.#sessions.holdsLease(nowMs)) return undefined;
    let packets = this.#leadingChecks(run, nowMs);
    let at = packets * SESSID_PACKET_BYTES;
    // Most runs hold nothing else, and their responses are all the same.
    if (at === run.byteLength) return { packets, bytes: at, responses: okChecks(packets) };
    scratch.set(okChecks(packets));
    let written = packets * STATUS_PACKET_BYTES;
    while (at < run.byteLength && written <= SCRATCH_LIMIT) {
      const size = packetSizeAt(run, at);
      const bytes = this.#writeAnswer(written, run, at, size, nowMs);
      if (bytes === 0) break;
      written += bytes;
      at += size;
      packets += 1;
    }
    if (packets === 0) return undefined;
    return { packets, bytes: at, responses: Buffer.from(scratch.subarray(0, written)) };
  }

  /** Whose session a token is, if memory may say so and the session may enter `resource`; empty: nothing in particular. */
  identify(token: Uint8Array, resource: string): { readonly sessid: number; readonly user: string } | undefined {
    const session = this.#ofToken(token, 0, this.now());
    if (session === undefined || session.user === null) return undefined;
    if (resource !== "" && (session.grants === null || !grantsAllow(session.grants, resource))) return undefined;
    return { sessid: session.sessid, user: session.user };
  }

  /** Forgets the sessions that these requests write. Call it before they are sent, and again when they were answered. */
  forgetWritten(requests: Uint8Array): void {
    const nowMs = this.now();
    for (let at = 0; at < requests.byteLength; at += packetSizeAt(requests, at)) {
      const type = packetType(requests, at);
      if (type !== register && type !== deletion) continue;
      if (packetSizeAt(requests, at) >= SESSID_PACKET_BYTES) this.#sessions.invalidate(sessidAt(requests, at), nowMs);
    }
  }

  /** Forgets a session that has ended, and what requests under way will say about it. */
  forget(sessid: number): void {
    this.#sessions.invalidate(sessid, this.now());
  }

  /** The same for every session. */
  forgetAll(): void {
    this.#sessions.invalidateAll();
  }

  /** Call it before requests are sent, for {@link keep}. */
  begin(): Lookup | undefined {
    return this.#sessions.begin(this.now());
  }

  /**
   * Keeps what the responses say, as far as the keep block behind them allows. Requests and responses are whole packets that fit
   * each other.
   *
   * @throws ProtocolError the block does not fit the requests
   */
  keep(lookup: Lookup | undefined, requests: Uint8Array, responses: Uint8Array, block: Uint8Array): void {
    const reader = new KeepReader(block);
    const verdicts: Verdict[] = [];
    const ended: number[] = [];
    let requestAt = 0;
    for (let at = 0; at < responses.byteLength; at += packetSizeAt(responses, at)) {
      const kind = keptKind(packetType(requests, requestAt));
      if (kind !== undefined) {
        const { seconds, grants } = reader.next(kind);
        const status = responses[at + HEADER_BYTES];
        const sessid = sessidAt(requests, requestAt);
        // An identify may also have shown a wrong secret.
        if (status === Status.NotFound && kind !== "identify") ended.push(sessid);
        if (status === Status.Ok && seconds > 0) {
          const user = kind === "identify" ? userOf(responses, at) : null;
          const secret = kind === "identify" ? secretAt(requests, requestAt + HEADER_BYTES) : null;
          verdicts.push({ sessid, user, secret, grants, keepMs: seconds * 1000 });
        }
      }
      requestAt += packetSizeAt(requests, requestAt);
    }
    reader.end();
    const nowMs = this.now();
    for (const sessid of ended) {
      if (this.#sessions.get(sessid, nowMs) !== undefined) this.#sessions.invalidate(sessid, nowMs);
    }
    if (lookup === undefined) return;
    for (const verdict of verdicts) this.#sessions.put(lookup, verdict, nowMs);
  }

  /** How many packets at the front are checks that memory answers. */
  #leadingChecks(run: Uint8Array, nowMs: number): number {
    let packets = 0;
    for (let at = 0; at < run.byteLength && packets < MAX_OK_CHECKS; at += SESSID_PACKET_BYTES) {
      const isCheck = packetType(run, at) === check && packetSizeAt(run, at) === SESSID_PACKET_BYTES;
      if (!isCheck || this.#sessions.get(sessidAt(run, at), nowMs) === undefined) break;
      packets += 1;
    }
    return packets;
  }

  /** Writes the Ok response to the packet at `at` to the scratch buffer, and returns its size; 0: the edge must answer. */
  #writeAnswer(to: number, run: Uint8Array, at: number, size: number, nowMs: number): number {
    switch (packetType(run, at)) {
      case check:
        if (size !== SESSID_PACKET_BYTES || this.#sessions.get(sessidAt(run, at), nowMs) === undefined) return 0;
        return writeOk(to, check);
      case checkAccess: {
        const grants = this.#sessions.get(sessidAt(run, at), nowMs)?.grants;
        if (grants == null) return 0;
        const resource = resourceAt(run, at + SESSID_PACKET_BYTES, at + size);
        return resource !== undefined && resource !== "" && grantsAllow(grants, resource)
          ? writeOk(to, checkAccess)
          : 0;
      }
      case identify: {
        if (size < TOKEN_PACKET_BYTES) return 0;
        const session = this.#ofToken(run, at + HEADER_BYTES, nowMs);
        if (session === undefined || session.user === null) return 0;
        const resource = resourceAt(run, at + TOKEN_PACKET_BYTES, at + size);
        if (resource === undefined) return 0;
        if (resource !== "" && (session.grants === null || !grantsAllow(session.grants, resource))) return 0;
        return writeIdentity(to, session.sessid, session.user);
      }
      default:
        return 0;
    }
  }

  /** The session whose token is at `at`. */
  #ofToken(bytes: Uint8Array, at: number, nowMs: number): LeasedSession | undefined {
    const session = this.#sessions.get(sessidAt(bytes, at - HEADER_BYTES), nowMs);
    return session?.secret != null && isSecretAt(session.secret, bytes, at) ? session : undefined;
  }
}

/** The two readings of a time are less than this apart. Date.now() is in whole ms. */
const MAX_READING_MS = 2;

/** Reads both clocks together: a pause of the process between the readings would look like a clock that was set. */
class Clocks {
  /** By how much the wall clock was ahead of the monotonic one. */
  #aheadMs = Number.NaN;

  read(): { readonly monotonicMs: number; readonly wallMs: number } {
    let monotonicMs = performance.now();
    let wallMs = Date.now();
    if (!(Math.abs(wallMs - monotonicMs - this.#aheadMs) < MAX_READING_MS)) {
      // A pause, or a clock that was set. Read without a pause, a clock that was set says the same again.
      let beforeMs: number;
      do {
        beforeMs = monotonicMs;
        wallMs = Date.now();
        monotonicMs = performance.now();
      } while (monotonicMs - beforeMs >= MAX_READING_MS);
      this.#aheadMs = wallMs - monotonicMs;
    }
    return { monotonicMs, wallMs };
  }
}

function keptKind(type: number): "check" | "checkAccess" | "identify" | undefined {
  if (type === check) return "check";
  if (type === checkAccess) return "checkAccess";
  return type === identify ? "identify" : undefined;
}

/** A copy of the secret of the token at `at`. */
function secretAt(bytes: Uint8Array, at: number): Uint8Array {
  return new Uint8Array(bytes.subarray(at + TOKEN_BYTES - TOKEN_SECRET_BYTES, at + TOKEN_BYTES));
}

/** Whether the token at `at` has this secret. How long it takes does not say where they differ. */
function isSecretAt(secret: Uint8Array, bytes: Uint8Array, at: number): boolean {
  const from = at + TOKEN_BYTES - TOKEN_SECRET_BYTES;
  let difference = 0;
  for (let index = 0; index < TOKEN_SECRET_BYTES; index++) {
    difference |= (secret[index] ?? 0) ^ (bytes[from + index] ?? 0);
  }
  return difference === 0;
}

/** The string from `at` to `end`; undefined if it is malformed, which the edge answers. */
function resourceAt(bytes: Uint8Array, at: number, end: number): string | undefined {
  try {
    const reader = new ByteReader(bytes.subarray(at, end));
    const resource = reader.string("resource", 0, MAX_RESOURCE_BYTES);
    reader.end();
    return resource;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** The user of the SessionIdentifyResponse at `at`. */
function userOf(responses: Uint8Array, at: number): string | null {
  const response = decodeServiceResponse(responses.subarray(at, at + packetSizeAt(responses, at)));
  return response.kind === "identify" ? (response.session?.user ?? null) : null;
}

function writeHeader(to: number, size: number, requestType: number): void {
  scratch[to] = size & 255;
  scratch[to + 1] = size >>> 8;
  scratch[to + 2] = requestType + 1;
  scratch[to + 3] = 0;
  scratch[to + HEADER_BYTES] = Status.Ok;
}

function writeOk(to: number, requestType: number): number {
  writeHeader(to, STATUS_PACKET_BYTES, requestType);
  return STATUS_PACKET_BYTES;
}

function writeIdentity(to: number, sessid: number, user: string): number {
  const userBytes = scratch.write(user, to + IDENTITY_BYTES);
  writeHeader(to, IDENTITY_BYTES + userBytes, identify);
  scratch.writeInt32LE(sessid, to + HEADER_BYTES + 1);
  scratch.writeUInt16LE(userBytes, to + IDENTITY_BYTES - 2);
  return IDENTITY_BYTES + userBytes;
}
