/** What a member was sent and has not acknowledged: all that can be seen of how far behind it is. */
export class UnackedDeliveries {
  #offsets: number[] = [];
  #sizes: number[] = [];
  #first = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(offset: number, bytes: number): void {
    this.#offsets.push(offset);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** The member has everything up to `position`. */
  acknowledge(position: number): void {
    while (this.#first < this.#offsets.length && (this.#offsets[this.#first] ?? 0) <= position) {
      this.#bytes -= this.#sizes[this.#first] ?? 0;
      this.#first += 1;
    }
    // Cutting off the front costs its length: it is done when that is at least half.
    if (this.#first * 2 >= this.#offsets.length) {
      this.#offsets = this.#offsets.slice(this.#first);
      this.#sizes = this.#sizes.slice(this.#first);
      this.#first = 0;
    }
  }
}
