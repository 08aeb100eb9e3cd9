import type { Publish } from "../player-packets.ts";
import { publishBytes } from "./send-window.ts";

/** What one that waits costs beside its body, about. */
const OBJECT_BYTES = 256;

/** What the messages that wait cost, of all connections of a room together. */
export interface HeldTotal {
  bytes: number;
}

/** A member's messages that have come and are beyond its budget, in order. */
export class HeldPublishes {
  readonly #total: HeldTotal;
  #queue: Publish[] = [];
  #first = 0;
  #windowBytes = 0;
  #memoryBytes = 0;

  constructor(total: HeldTotal) {
    this.#total = total;
  }

  get length(): number {
    return this.#queue.length - this.#first;
  }

  /** Their bytes as a client's window counts them. */
  get windowBytes(): number {
    return this.#windowBytes;
  }

  /** What those of all connections cost here. */
  get totalBytes(): number {
    return this.#total.bytes;
  }

  /** What they cost here. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get first(): Publish | undefined {
    return this.#queue[this.#first];
  }

  /** Keeps a copy: what it came in may be large. */
  add(publish: Publish): void {
    this.#queue.push({ ...publish, body: publish.body.slice() });
    this.#count(publish, 1);
  }

  removeFirst(): void {
    const { first } = this;
    if (first === undefined) return;
    this.#count(first, -1);
    this.#first += 1;
    // Cutting off the front costs its length: it is done when that is at least half.
    if (this.#first * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#first);
    this.#first = 0;
  }

  clear(): void {
    this.#queue = [];
    this.#first = 0;
    this.#total.bytes -= this.#memoryBytes;
    this.#windowBytes = 0;
    this.#memoryBytes = 0;
  }

  #count({ body }: Publish, sign: 1 | -1): void {
    const memoryBytes = sign * (body.byteLength + OBJECT_BYTES);
    this.#windowBytes += sign * publishBytes(body);
    this.#memoryBytes += memoryBytes;
    this.#total.bytes += memoryBytes;
  }
}
