import { createHash, timingSafeEqual } from "node:crypto";
import { packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { REQUEST_TYPES } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type AddressRecord, FailureWindow } from "../core/address-book.ts";

/** What one address may fail at in a minute. */
export interface GameAddressLimits {
  /** NotFound, Denied and Conflict answers to what {@link isGuess} names; then such requests are answered TooMany. */
  readonly maxFailuresPerMinute: number;
  /** Wrong service keys; then they are answered TooMany. */
  readonly maxWrongKeysPerMinute: number;
}

/** A packet's status is its first field (docs/wire-protocol.md, "Service packets"). */
const STATUS_OFFSET = 4;

const { check, checkAccess, delete: deletion, register } = REQUEST_TYPES;

/**
 * Whether a request's verdict tells if a session exists. A sessid is an int32, so who may ask without end can find the
 * living ones: these are the requests that are counted and refused.
 */
export function isGuess(type: number): boolean {
  return type === check || type === checkAccess || type === deletion || type === register;
}

/**
 * What the connections of one address have failed at, and what they have in flight: however many they are, together they
 * never fail more often than the limit.
 */
export class GameAddress implements AddressRecord {
  readonly wrongKeys: FailureWindow;
  readonly #failures: FailureWindow;
  #connections = 0;
  #inFlight = 0;
  /** Who could ask if what is in flight did not fail. */
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

  /** `resume` waits no more. */
  disconnected(resume: () => void): void {
    this.#connections -= 1;
    this.#waiting.delete(resume);
  }

  /** How many guesses may be asked now, if all that is in flight fails; under 1: none. */
  allowance(nowMs: number): number {
    return this.#failures.allowance(nowMs) - this.#inFlight;
  }

  /** Whether guesses are refused, whatever becomes of what is in flight. */
  isExhausted(nowMs: number): boolean {
    return this.#failures.allowance(nowMs) <= 0;
  }

  /** Packets left for the edge. */
  asked(packets: number): void {
    this.#inFlight += packets;
  }

  /** `resume` is called once, when less is in flight. */
  wait(resume: () => void): void {
    this.#waiting.add(resume);
  }

  /** The answers to so many packets came. */
  responded(answers: Uint8Array, packets: number, nowMs: number): void {
    this.#inFlight -= packets;
    const failures = countFailures(answers);
    if (failures > 0) this.#failures.count(failures, nowMs);
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }
}

/** The failures among answers: NotFound, Denied and Conflict to what {@link isGuess} names. */
export function countFailures(answers: Uint8Array): number {
  let failures = 0;
  for (let at = 0; at < answers.byteLength; at += packetSizeAt(answers, at)) {
    const status = answers[at + STATUS_OFFSET];
    if (status !== Status.NotFound && status !== Status.Denied && status !== Status.Conflict) continue;
    if (isGuess(packetType(answers, at) - 1)) failures += 1;
  }
  return failures;
}

/** The keys of which a client must show one first. Only their digests are kept. */
export class ServiceKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest);
  }

  /** Whether there are any: without them anyone who reaches the port may ask. */
  get areNeeded(): boolean {
    return this.#digests.length > 0;
  }

  /** Whether it is one of them. The time that it takes tells nothing of them. */
  include(key: string): boolean {
    const shown = digest(key);
    return this.#digests.filter((known) => timingSafeEqual(known, shown)).length > 0;
  }
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
