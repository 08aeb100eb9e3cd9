import type { ConnectionLimits } from "./connection-limits.ts";

/** Counts the connections of a port, in all and by address, and says which limit refuses the next. */
export class Admission {
  readonly #limits: ConnectionLimits;
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  /** Counts a connection, or names the limit that it would break; who is admitted must be released once. */
  admit(address: string): "connections" | "connections_per_address" | undefined {
    if (this.#total >= this.#limits.maxConnections) return "connections";
    const sameAddress = this.#byAddress.get(address) ?? 0;
    if (sameAddress >= this.#limits.maxConnectionsPerAddress) return "connections_per_address";
    this.#total += 1;
    this.#byAddress.set(address, sameAddress + 1);
    return undefined;
  }

  release(address: string): void {
    this.#total -= 1;
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, left);
  }
}
