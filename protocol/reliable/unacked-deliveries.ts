import type { RunPlaces } from "./run-places.ts";

/** What a member was sent and has not acknowledged: all that can be seen of how far behind it is. */
export class UnackedDeliveries {
  /** Neighbours in a run are one part. */
  #parts: { readonly places: RunPlaces; from: number; to: number }[] = [];
  #first = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The entry at this index of a run was sent. */
  add(places: RunPlaces, index: number): void {
    const last = this.#parts[this.#parts.length - 1];
    if (last?.places === places && last.to === index) last.to = index + 1;
    else this.#parts.push({ places, from: index, to: index + 1 });
    this.#bytes += places.size(index);
  }

  /** The member has everything up to `position`. */
  acknowledge(position: number): void {
    for (let part = this.#parts[this.#first]; part !== undefined; part = this.#parts[this.#first]) {
      for (; part.from < part.to && part.places.offset(part.from) <= position; part.from++) {
        this.#bytes -= part.places.size(part.from);
      }
      if (part.from < part.to) break;
      this.#first += 1;
    }
    // Cutting off the front costs its length: it is done when that is at least half.
    if (this.#first * 2 >= this.#parts.length) {
      this.#parts = this.#parts.slice(this.#first);
      this.#first = 0;
    }
  }
}
