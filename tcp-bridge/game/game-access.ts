import { createHash, timingSafeEqual } from "node:crypto";
import { HEADER_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { REQUEST_TYPES, sessidAt } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type AddressRecord, FailureWindow } from "../core/admission.ts";

/** The keys of which a client must show one in its first packet. Only their SHA-256 digests are kept. */
export class ServiceKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest);
  }

  /** Whether there are any. Without keys, every client that reaches the port may send requests. */
  get areNeeded(): boolean {
    return this.#digests.length > 0;
  }

  /** Whether `key` is one of them. The time that it takes reveals nothing about the keys. */
  include(key: string): boolean {
    const shown = digest(key);
    return this.#digests.filter((known) => timingSafeEqual(known, shown)).length > 0;
  }
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** How often the clients of one address may fail in a minute. */
export interface GameAddressLimits {
  /** NotFound, Denied and Conflict responses to a {@link isGuess guess}. Beyond it guesses get TooMany. */
  readonly maxFailuresPerMinute: number;
  /** Wrong service keys. Beyond it wrong keys get TooMany. */
  readonly maxWrongKeysPerMinute: number;
}

const { check, checkAccess, delete: deletion, identify, issue, register } = REQUEST_TYPES;
const { Ok, NotFound, Denied, Conflict } = Status;

/**
 * Whether the response to a request of this type tells if a session exists. A sessid is an int32, so a client with unlimited
 * guesses could find all sessions. Only these requests are counted and refused.
 */
export function isGuess(type: number): boolean {
  return type === check || type === checkAccess || type === deletion || type === register || type === identify;
}

/**
 * The failures of all connections of one address, and their requests in flight. Requests in flight count as failures until their
 * responses arrive, so that many connections together cannot exceed the limit.
 */
export class GameAddress implements AddressRecord {
  readonly wrongKeys: FailureWindow;
  readonly #failures: FailureWindow;
  #connections = 0;
  #inFlight = 0;
  /** The callbacks of connections that wait for responses to others. */
  readonly #waiting = new Set<() => void>();

  constructor(limits: GameAddressLimits) {
    this.wrongKeys = new FailureWindow(limits.maxWrongKeysPerMinute);
    this.#failures = new FailureWindow(limits.maxFailuresPerMinute);
  }

  isIdle(nowMs: number): boolean {
    if (this.#connections > 0 || this.#inFlight > 0) return false;
    return this.#failures.failures(nowMs) === 0 && this.wrongKeys.failures(nowMs) === 0;
  }

  connected(): void {
    this.#connections += 1;
  }

  /** A connection ended; `resume` is not called any more. */
  disconnected(resume: () => void): void {
    this.#connections -= 1;
    this.#waiting.delete(resume);
  }

  /** How many guesses may be sent now, if all requests in flight fail. Under 1: none. */
  allowance(nowMs: number): number {
    return this.#failures.allowance(nowMs) - this.#inFlight;
  }

  /** Whether the limit is reached, whatever the responses to the requests in flight are. */
  isExhausted(nowMs: number): boolean {
    return this.#failures.allowance(nowMs) <= 0;
  }

  /** Requests were sent to the edge. */
  requested(packets: number): void {
    this.#inFlight += packets;
  }

  /** Calls `resume` once, after the next responses. */
  wait(resume: () => void): void {
    this.#waiting.add(resume);
  }

  /** The responses to `packets` requests arrived. */
  responded(responses: Uint8Array, packets: number, nowMs: number): void {
    this.#inFlight -= packets;
    const failures = countFailures(responses);
    if (failures > 0) this.#failures.count(failures, nowMs);
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }
}

/** Counts the NotFound, Denied and Conflict responses to guesses. */
export function countFailures(responses: Uint8Array): number {
  let failures = 0;
  for (let at = 0; at < responses.byteLength; at += packetSizeAt(responses, at)) {
    // The status is the first field of every response (docs/wire-protocol.md, "Service packets").
    const status = responses[at + HEADER_BYTES];
    if (status !== NotFound && status !== Denied && status !== Conflict) continue;
    if (isGuess(packetType(responses, at) - 1)) failures += 1;
  }
  return failures;
}

/** A connection that does not watch remembers the sessions of its first requests only: later ones cost nothing. */
const UNWATCHED_REQUESTS = 1_000;

/** All connections together may know so many times what one may. */
const CONNECTIONS_THAT_KNOW_ALL = 20;

/** Bounds what the connections that watch remember. */
export class KnownLimits {
  readonly ofOne: number;
  readonly ofAll: number;
  /** Of all connections that watch. */
  sessions = 0;

  constructor(ofOne: number) {
    this.ofOne = ofOne;
    this.ofAll = ofOne * CONNECTIONS_THAT_KNOW_ALL;
  }
}

/** The sessions that a connection has registered, issued or found Ok. If that are too many to remember, every session is known. */
export class KnownSessions {
  readonly #limits: KnownLimits;
  /** Undefined: every session. */
  #sessids: Set<number> | undefined = new Set();
  #unwatchedLeft = UNWATCHED_REQUESTS;
  #isWatched = false;

  constructor(limits: KnownLimits) {
    this.#limits = limits;
  }

  get isLearning(): boolean {
    return this.#sessids !== undefined;
  }

  has(sessid: number): boolean {
    return this.#sessids?.has(sessid) ?? true;
  }

  /** Whether the connection watches the sessions that it knows. */
  watch(isWatched: boolean): void {
    if (isWatched === this.#isWatched) return;
    this.#isWatched = isWatched;
    this.#count(isWatched ? this.#size : -this.#size);
  }

  /** The connection has ended. */
  close(): void {
    this.watch(false);
    this.#sessids = undefined;
  }

  /** Adds the sessions of requests that got Ok. Requests and responses are whole packets that fit each other. */
  learn(requests: Uint8Array, responses: Uint8Array): void {
    const sessids = this.#sessids;
    if (sessids === undefined) return;
    const before = sessids.size;
    let requestAt = 0;
    for (let at = 0; at < responses.byteLength; at += packetSizeAt(responses, at)) {
      if (responses[at + HEADER_BYTES] === Ok) {
        const type = packetType(requests, requestAt);
        // A SessionIssueResponse has the sessid behind its status.
        if (type === issue) sessids.add(sessidAt(responses, at + 1));
        else if (isAboutSession(type)) sessids.add(sessidAt(requests, requestAt));
      }
      requestAt += packetSizeAt(requests, requestAt);
      if (!this.#isWatched) this.#unwatchedLeft -= 1;
    }
    if (this.#isWatched) this.#count(sessids.size - before);
    else if (this.#unwatchedLeft < 0) this.#sessids = undefined;
  }

  get #size(): number {
    return this.#sessids?.size ?? 0;
  }

  #count(more: number): void {
    const { ofOne, ofAll } = this.#limits;
    this.#limits.sessions += more;
    if (!this.#isWatched || (this.#size <= ofOne && this.#limits.sessions <= ofAll)) return;
    this.#limits.sessions -= this.#size;
    this.#sessids = undefined;
  }
}

function isAboutSession(type: number): boolean {
  return type === check || type === checkAccess || type === identify || type === register;
}
