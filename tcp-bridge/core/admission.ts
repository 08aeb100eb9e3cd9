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
