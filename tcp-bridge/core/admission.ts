import type { ConnectionLimits } from "./connection-limits.ts";

/** How many connections at once, in all and of one address. */
export type PlaceLimits = Pick<ConnectionLimits, "maxConnections" | "maxConnectionsPerAddress">;

/** Which limit refused a connection. */
export type PlaceLimitCode = "connections" | "connections_per_address";

/** A connection's place at a port. */
export interface Place {
  /** The connection has shown that it is worth its place: it keeps it. */
  prove(): void;
  /** As before {@link prove}, from now on. */
  doubt(): void;
  /** The connection is over. Idempotent. */
  release(): void;
}

interface AddressPlaces {
  total: number;
  /** In the order in which they came. */
  readonly unproven: Set<AdmittedPlace>;
}

/** Among so many of the oldest unproven places the one to take is chosen. */
const CANDIDATES = 16;

/**
 * Counts the connections of a port, in all and by address, and says which limit refuses the next.
 *
 * A connection is unproven until it has shown something that silence cannot. When all places are taken, the next one
 * takes that of an unproven connection: silent ones fill no port, however many they are and wherever they come from.
 * Among the oldest it is one of the address with the most unproven ones, so who comes with few is seldom hit.
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

  /** A place, or the name of the limit that gives none. `evict` ends the connection, and is called once at most. */
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
    // Its last place may have gone just now.
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
    let looks = 0;
    for (const place of this.#unproven) {
      if (weakest === undefined || place.unprovenOfAddress > weakest.unprovenOfAddress) weakest = place;
      looks += 1;
      if (looks === CANDIDATES) break;
    }
    // Who comes with many takes from itself.
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
