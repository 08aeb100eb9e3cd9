/** A reading of the primary: at `atMs`, and no later, its replication stream had `offset` bytes. */
interface Sample {
  readonly atMs: number;
  readonly offset: number;
}

/** At four samples a second: what is further behind than 16 s is out of use long before. */
const MAX_SAMPLES = 64;

/**
 * Turns a replica's position in the primary's replication stream into time. Byte counts do not say how old an answer may
 * be; a history of where the primary was, and when, does.
 */
export class PrimaryOffsets {
  #samples: Sample[] = [];

  /** `atMs` is the time before the primary was asked: by then nothing beyond `offset` had been answered. */
  record(atMs: number, offset: number): void {
    this.#samples.push({ atMs, offset });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  /**
   * The newest moment whose writes a replica at `offset` certainly has; -Infinity when no sample tells. A write that was
   * answered before this moment can be read at that replica.
   */
  freshAsOfMs(offset: number): number {
    return this.#samples.findLast((sample) => sample.offset <= offset)?.atMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Bytes that a replica at `offset` has still to apply, as of the last sample. */
  lagBytes(offset: number): number {
    return Math.max(0, (this.#samples.at(-1)?.offset ?? offset) - offset);
  }
}
