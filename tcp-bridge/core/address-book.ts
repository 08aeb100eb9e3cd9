import { createHash, randomBytes } from "node:crypto";
import ipaddr from "ipaddr.js";

/** What is known of one address. */
export interface AddressRecord {
  /** Whether there is nothing to remember: no connection, nothing under way, no failure that still counts. */
  isIdle(nowMs: number): boolean;
}

/** So many addresses have a record of their own: some 10 MB. */
const MAX_ADDRESSES = 65_536;

/** The records that the addresses beyond share. */
const SHARED_RECORDS = 1_024;

/** Of the oldest records so many are looked at for each new one, so that what is idle goes before the book is full. */
const LOOKED_AT = 2;

/**
 * A record for each address, in bounded memory. A record that is not idle is never dropped: if there are too many, the next
 * addresses share records, and nobody is forgotten because others came.
 */
export class AddressBook<T extends AddressRecord> {
  readonly #create: () => T;
  readonly #maxAddresses: number;
  readonly #byAddress = new Map<string, T>();
  readonly #shared = new Map<number, T>();
  /** Nobody outside can choose who shares a record with whom. */
  readonly #salt = randomBytes(16);

  constructor(create: () => T, maxAddresses = MAX_ADDRESSES) {
    this.#create = create;
    this.#maxAddresses = maxAddresses;
  }

  /** The addresses that have a record of their own. */
  get size(): number {
    return this.#byAddress.size;
  }

  /** The record of an address ({@link addressKey}); valid for as long as it is not idle, so look it up again later. */
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
    let looks = 0;
    for (const [address, record] of this.#byAddress) {
      if (looks === LOOKED_AT) return;
      looks += 1;
      this.#byAddress.delete(address);
      // It is looked at again when all others were.
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

/**
 * What limits count by: an IPv4 address, or an IPv6 network of 64 bits, for that is what one household or one server has.
 * All whose address is unknown (a peer that is gone already) are one. The worker counts by the same.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return "unknown";
  // A dual-stack port names an IPv4 peer ::ffff:10.0.0.1.
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  return parsed.parts
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":");
}

const WINDOW_MS = 60_000;

/** Counts failures in windows of one minute, each from its first failure on. */
export class FailureWindow {
  readonly #limit: number;
  #startMs = 0;
  #failures = 0;

  /** `limit`: failures a minute. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many more may fail now. */
  allowance(nowMs: number): number {
    return this.#limit - this.failures(nowMs);
  }

  /** How many have failed in the window. */
  failures(nowMs: number): number {
    if (nowMs - this.#startMs >= WINDOW_MS) this.#failures = 0;
    return this.#failures;
  }

  count(failures: number, nowMs: number): void {
    if (this.failures(nowMs) === 0) this.#startMs = nowMs;
    this.#failures += failures;
  }
}
