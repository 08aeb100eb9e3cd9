import type { Context } from "hono";

/** What bodies may take of this isolate. */
export interface BodyLimits {
  /** From the headers to the last byte. */
  readonly timeoutMs: number;
  /** Bodies that are incomplete at the same time; beyond it, one that has waited longest is given up. */
  readonly maxWaiting: number;
  /** The same of one address. */
  readonly maxWaitingPerAddress: number;
}

export type ReceivedBody =
  | { readonly kind: "body"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "tooLarge" }
  | { readonly kind: "tooSlow" };

/** A body that is not complete. */
interface WaitingBody {
  readonly address: string;
  giveUp(): void;
}

/**
 * Receives the bodies of those who have shown no credential, within bounds of time, size and number. A body mostly comes with
 * its headers; so what waits long is slow, or is meant to be, and makes room for what comes.
 */
export class BodyIntake {
  readonly #limits: BodyLimits;
  /** By address; the oldest first. */
  readonly #waiting = new Map<string, Set<WaitingBody>>();
  #count = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /**
   * The whole body.
   *
   * @param address what limits count by (client-address.ts)
   * @throws the client went away
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
      // Nobody waits for the end of it: the runtime closes the connection.
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

  /** The address with the most bodies: many slow ones of one do not press out another's. */
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

/** Whether the body is what its Content-Type says, and that is a form. */
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

/** Reads a form, urlencoded or multipart; gives a field's text, empty where it is missing or no text. */
export async function readForm(c: Context): Promise<(name: string) => string> {
  const fields = await c.req.parseBody();
  return (name) => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
}

/** All that comes, or undefined once it is more than `maxBytes`. */
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
