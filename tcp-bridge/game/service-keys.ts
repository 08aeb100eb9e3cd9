import { createHash, timingSafeEqual } from "node:crypto";

/** The keys of which a client must show one first. Only their digests are kept. */
export class ServiceKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest);
  }

  /** Whether there are any: without them anyone who reaches the port may ask. */
  get areNeeded(): boolean {
    return this.#digests.length > 0;
  }

  /** Whether it is one of them. The time that it takes tells nothing of them. */
  include(key: string): boolean {
    const shown = digest(key);
    return this.#digests.filter((known) => timingSafeEqual(known, shown)).length > 0;
  }
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
