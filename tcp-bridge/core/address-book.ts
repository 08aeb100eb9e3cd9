import { createHash, randomBytes } from "node:crypto";
import ipaddr from "ipaddr.js";

/**
 * The key by which limits count an address: an IPv4 address, or the /64 network of an IPv6 address, which is what one household or
 * server has. All peers without an address (they are gone already) share one key. The worker counts in the same way.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return "unknown";
  // A dual-stack port reports an IPv4 peer as ::ffff:10.0.0.1.
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  return parsed.parts
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":");
}

const WINDOW_MS = 60_000;

/** Counts failures in windows of one minute. A window starts with its first failure. */
export class FailureWindow {
  readonly #limit: number;
  #startMs = 0;
  #failures = 0;

  /** `limit`: failures a minute. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many more failures the limit allows now; negative if there were more. */
  allowance(nowMs: number): number {
    return this.#limit - this.failures(nowMs);
  }

  /** The failures in the current window. */
  failures(nowMs: number): number {
    if (nowMs - this.#startMs >= WINDOW_MS) this.#failures = 0;
    return this.#failures;
  }

  count(failures: number, nowMs: number): void {
    if (this.failures(nowMs) === 0) this.#startMs = nowMs;
    this.#failures += failures;
  }
}

/** What a port records of one address. */
export interface AddressRecord {
  /** Whether the record may be dropped: no connection, nothing in flight, no failure in the current window. */
  isIdle(nowMs: number): boolean;
}

/** The most addresses with a record of their own, some 10 MB. */
const MAX_ADDRESSES = 65_536;

/** The number of records that all further addresses share. */
const SHARED_RECORDS = 1_024;

/** For each new record, this many of the oldest are examined, so that idle records are dropped before the book is full. */
const EXAMINED = 2;

/**
 * A record for each address, in bounded memory. A record that is not idle is never dropped. When there are too many, further
 * addresses share records, so that a flood of addresses cannot remove the failures of others.
 */
export class AddressBook<T extends AddressRecord> {
  readonly #create: () => T;
  readonly #maxAddresses: number;
  readonly #byAddress = new Map<string, T>();
  readonly #shared = new Map<number, T>();
  /** Random, so that nobody outside can choose which addresses share a record. */
  readonly #salt = randomBytes(16);

  constructor(create: () => T, maxAddresses = MAX_ADDRESSES) {
    this.#create = create;
    this.#maxAddresses = maxAddresses;
  }

  /** The number of addresses that have a record of their own. */
  get size(): number {
    return this.#byAddress.size;
  }

  /** The record of an {@link addressKey}. Keep it only while it is not idle: an idle record may be dropped and replaced. */
  of(address: string, nowMs: number): T {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    this.#dropIdle(nowMs);
    if (this.#byAddress.size >= this.#maxAddresses) return this.#sharedBy(address);
    const record = this.#create();
    this.#byAddress.set(address, record);
    return record;
  }

  #dropIdle(nowMs: number): void {
    let examined = 0;
    for (const [address, record] of this.#byAddress) {
      if (examined === EXAMINED) return;
      examined += 1;
      this.#byAddress.delete(address);
      // Reinserted at the end, it is examined again after all others.
      if (!record.isIdle(nowMs)) this.#byAddress.set(address, record);
    }
  }

  #sharedBy(address: string): T {
    const index = createHash("sha256").update(this.#salt).update(address).digest().readUInt32LE() % SHARED_RECORDS;
    const known = this.#shared.get(index);
    if (known !== undefined) return known;
    const record = this.#create();
    this.#shared.set(index, record);
    return record;
  }
}
