import { createHash, randomBytes } from "node:crypto";
import ipaddr from "ipaddr.js";
import type { ConnectionLimits } from "./connection-limits.ts";

/** The most connections of a port, in all and of one address. */
export type PlaceLimits = Pick<ConnectionLimits, "maxConnections" | "maxConnectionsPerAddress">;

/** Which limit refused a connection. */
export type PlaceLimitCode = "connections" | "connections_per_address";

/** A connection's place at a port. */
export interface Place {
  /** The connection is worth its place: it keeps it. */
  prove(): void;
  /** Takes {@link prove} back. */
  doubt(): void;
  /** The connection ended. Idempotent. */
  release(): void;
}

interface AddressPlaces {
  total: number;
  /** In the order in which they connected. */
  readonly unproven: Set<AdmittedPlace>;
}

/** The place to take is chosen among this many of the oldest unproven ones. */
const CANDIDATES = 16;

/**
 * Counts the connections of a port, in all and by address, and decides whether another one gets a place.
 *
 * A connection is unproven until it shows something that a silent connection cannot. When all places are taken, the next
 * connection takes the place of an unproven one, so silent connections cannot fill a port, however many they are. Among the oldest
 * unproven places, one of the address with the most unproven places is taken, so an address with few is seldom affected.
 */
export class Admission {
  readonly #limits: PlaceLimits;
  readonly #byAddress = new Map<string, AddressPlaces>();
  readonly #unproven = new Set<AdmittedPlace>();
  #total = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  /** Returns a place, or the limit that refuses one. `evict` ends the connection; it is called at most once. */
  admit(address: string, evict: () => void): Place | PlaceLimitCode {
    const places = this.#byAddress.get(address) ?? { total: 0, unproven: new Set() };
    if (places.total >= this.#limits.maxConnectionsPerAddress) {
      const [oldest] = places.unproven;
      if (oldest === undefined) return "connections_per_address";
      oldest.evict();
    } else if (this.#total >= this.#limits.maxConnections) {
      const weakest = this.#weakest(places);
      if (weakest === undefined) return "connections";
      weakest.evict();
    }
    // An eviction above may have removed the entry of the address.
    this.#byAddress.set(address, places);
    this.#total += 1;
    places.total += 1;
    const place = new AdmittedPlace(places, this.#unproven, evict, () => {
      this.#total -= 1;
      places.total -= 1;
      if (places.total === 0) this.#byAddress.delete(address);
    });
    place.doubt();
    return place;
  }

  #weakest(own: AddressPlaces): AdmittedPlace | undefined {
    let weakest: AdmittedPlace | undefined;
    let examined = 0;
    for (const place of this.#unproven) {
      if (weakest === undefined || place.unprovenOfAddress > weakest.unprovenOfAddress) weakest = place;
      examined += 1;
      if (examined === CANDIDATES) break;
    }
    // An address with more unproven places than that loses one of its own.
    const [oldestOfOwn] = own.unproven;
    if (weakest !== undefined && own.unproven.size > weakest.unprovenOfAddress) return oldestOfOwn;
    return weakest;
  }
}

class AdmittedPlace implements Place {
  readonly #ofAddress: AddressPlaces;
  readonly #unproven: Set<AdmittedPlace>;
  readonly #evict: () => void;
  readonly #onReleased: () => void;
  #released = false;

  constructor(ofAddress: AddressPlaces, unproven: Set<AdmittedPlace>, evict: () => void, onReleased: () => void) {
    this.#ofAddress = ofAddress;
    this.#unproven = unproven;
    this.#evict = evict;
    this.#onReleased = onReleased;
  }

  get unprovenOfAddress(): number {
    return this.#ofAddress.unproven.size;
  }

  prove(): void {
    this.#unproven.delete(this);
    this.#ofAddress.unproven.delete(this);
  }

  doubt(): void {
    if (this.#released) return;
    this.#unproven.add(this);
    this.#ofAddress.unproven.add(this);
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.prove();
    this.#onReleased();
  }

  evict(): void {
    this.release();
    this.#evict();
  }
}

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
