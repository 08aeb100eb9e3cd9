import type { Context } from "hono";

/** Bounds of the bodies that an isolate receives. */
export interface BodyLimits {
  /** From the headers to the last byte. */
  readonly timeoutMs: number;
  /** Bodies that are incomplete at the same time. Beyond it, the oldest of the address with the most is given up. */
  readonly maxWaiting: number;
  /** The same for one address. */
  readonly maxWaitingPerAddress: number;
}

export type ReceivedBody =
  | { readonly kind: "body"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "tooLarge" }
  | { readonly kind: "tooSlow" };

/** A body that is incomplete. */
interface WaitingBody {
  readonly address: string;
  giveUp(): void;
}

/**
 * Receives bodies from clients without a credential, within bounds of time, size and number. A body mostly arrives with its
 * headers: one that is incomplete for long is slow, or slow on purpose, and is given up for newer ones.
 */
export class BodyIntake {
  readonly #limits: BodyLimits;
  /** By address, the oldest first. */
  readonly #waiting = new Map<string, Set<WaitingBody>>();
  #count = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /**
   * Receives a whole body.
   *
   * @param address the key under which limits count the client (client-address.ts)
   * @throws if the client disconnects
   */
  async receive(body: ReadableStream<Uint8Array>, maxBytes: number, address: string): Promise<ReceivedBody> {
    const gaveUp = Promise.withResolvers<"gaveUp">();
    const entry: WaitingBody = { address, giveUp: () => gaveUp.resolve("gaveUp") };
    this.#makeRoom(address);
    this.#add(entry);
    const timer = setTimeout(entry.giveUp, this.#limits.timeoutMs);
    const reader = body.getReader();
    try {
      const received = await Promise.race([readAll(reader, maxBytes), gaveUp.promise]);
      if (received !== undefined && received !== "gaveUp") return { kind: "body", bytes: received };
      // Not awaited: the runtime closes the connection.
      reader.cancel().catch(() => {});
      return { kind: received === "gaveUp" ? "tooSlow" : "tooLarge" };
    } finally {
      clearTimeout(timer);
      this.#remove(entry);
    }
  }

  #makeRoom(address: string): void {
    const own = this.#waiting.get(address);
    if (own !== undefined && own.size >= this.#limits.maxWaitingPerAddress) this.#giveUpOldest(own);
    else if (this.#count >= this.#limits.maxWaiting) this.#giveUpOldest(this.#largest());
  }

  /** The bodies of the address with the most, so that many slow bodies of one address push out no other's. */
  #largest(): ReadonlySet<WaitingBody> {
    let largest: ReadonlySet<WaitingBody> = new Set();
    for (const bodies of this.#waiting.values()) if (bodies.size > largest.size) largest = bodies;
    return largest;
  }

  #giveUpOldest(bodies: ReadonlySet<WaitingBody>): void {
    const [oldest] = bodies;
    if (oldest === undefined) return;
    oldest.giveUp();
    this.#remove(oldest);
  }

  #add(entry: WaitingBody): void {
    const own = this.#waiting.get(entry.address);
    if (own === undefined) this.#waiting.set(entry.address, new Set([entry]));
    else own.add(entry);
    this.#count += 1;
  }

  #remove(entry: WaitingBody): void {
    const own = this.#waiting.get(entry.address);
    if (own?.delete(entry) !== true) return;
    this.#count -= 1;
    if (own.size === 0) this.#waiting.delete(entry.address);
  }
}

/** Whether the Content-Type is that of a form and the body can be parsed as one. */
export async function isForm(c: Context): Promise<boolean> {
  const type = c.req.header("Content-Type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded" && type !== "multipart/form-data") return false;
  try {
    await c.req.parseBody();
    return true;
  } catch {
    return false;
  }
}

/** Parses a form, urlencoded or multipart. The result gives the text of a field, empty if it is missing or no text. */
export async function readForm(c: Context): Promise<(name: string) => string> {
  const fields = await c.req.parseBody();
  return (name) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
}

/** The whole body; undefined as soon as it is longer than `maxBytes`. */
async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  let bytes = new Uint8Array(0);
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes.slice(0, size);
    const before = size;
    size += value.byteLength;
    if (size > maxBytes) return undefined;
    if (size > bytes.byteLength) {
      const larger = new Uint8Array(Math.min(maxBytes, Math.max(size, 2 * bytes.byteLength)));
      larger.set(bytes.subarray(0, before));
      bytes = larger;
    }
    bytes.set(value, before);
  }
}
