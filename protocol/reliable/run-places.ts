/** Which log entries a run of packets holds, and where each ends: shared by all connections that were sent of it. */
export class RunPlaces {
  readonly #offsets: number[] = [];
  readonly #ends: number[] = [];

  /** Adds the entry with this offset in the log, whose packet ends at `end`; returns its index. */
  add(offset: number, end: number): number {
    this.#ends.push(end);
    return this.#offsets.push(offset) - 1;
  }

  /** The offset in the log of the entry at this index. */
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }

  /** Where its packet ends, 0 in front of the first. */
  end(index: number): number {
    return index < 0 ? 0 : (this.#ends[index] ?? 0);
  }

  /** Bytes of its packet. */
  size(index: number): number {
    return this.end(index) - this.end(index - 1);
  }
}
