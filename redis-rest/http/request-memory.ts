import type { IncomingMessage } from "node:http";
import type { ReplyLimit, ReplyVerdict } from "../redis/redis-connection.ts";

export interface MemoryLimits {
  /** Bytes of the replies to one request. */
  readonly maxResponseBytes: number;
  /** Bytes of bodies and replies that all requests together may hold until their responses have been read. */
  readonly maxHeldBytes: number;
}

/** Only what a request holds beyond this is counted: the number of connections bounds small requests. */
const UNCOUNTED_BYTES = 64 * 1024;

/** After so many dropped bytes the connection to Redis is ended, although other requests wait on it. */
const MAX_DROPPED_BYTES = 128 * 1024 * 1024;

/** The bytes that all requests together hold. */
export class HeldMemory {
  readonly limits: MemoryLimits;
  #bytes = 0;

  constructor(limits: MemoryLimits) {
    this.limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False if there is no room; then nothing is added. */
  add(bytes: number): boolean {
    if (this.#bytes + bytes > this.limits.maxHeldBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** The bytes that one request holds. They are released when its response has been read, or nobody reads it any more. */
export class RequestMemory {
  readonly #all: HeldMemory;
  #bytes = 0;
  #counted = 0;
  #isReleased = false;
  /** Of the commands that were sent last; replies to earlier ones are dropped. */
  #replies: BoundedReplies;

  constructor(all: HeldMemory) {
    this.#all = all;
    this.#replies = new BoundedReplies(this);
  }

  get limits(): MemoryLimits {
    return this.#all.limits;
  }

  /** The limit of each command of this request. */
  get replies(): BoundedReplies {
    return this.#replies;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Counts bytes that were read for the request; false if all requests together hold too much, or this one is over. */
  hold(bytes: number): boolean {
    this.#bytes += bytes;
    const uncounted = this.#bytes - UNCOUNTED_BYTES - this.#counted;
    if (uncounted <= 0) return true;
    if (this.#isReleased || !this.#all.add(uncounted)) return false;
    this.#counted += uncounted;
    return true;
  }

  askAgain(): BoundedReplies {
    this.#replies = new BoundedReplies(this);
    return this.#replies;
  }

  /** Idempotent. */
  release(): void {
    this.#all.remove(this.#counted);
    this.#counted = 0;
    this.#isReleased = true;
  }
}

/** Counts the replies of one server to the commands of one request. */
export class BoundedReplies implements ReplyLimit {
  readonly #memory: RequestMemory;
  #bytes = 0;
  #droppedBytes = 0;
  #trouble: "too_large" | "no_room" | undefined;

  constructor(memory: RequestMemory) {
    this.#memory = memory;
  }

  /** Why replies are missing, if they are. */
  get trouble(): "too_large" | "no_room" | undefined {
    return this.#trouble;
  }

  get isOver(): boolean {
    return this.#trouble !== undefined || this.#memory.isReleased || this.#memory.replies !== this;
  }

  take(bytes: number): ReplyVerdict {
    this.#bytes += bytes;
    if (!this.isOver) {
      if (this.#bytes > this.#memory.limits.maxResponseBytes) this.#trouble = "too_large";
      else if (this.#memory.hold(bytes)) return "keep";
      else this.#trouble = "no_room";
    }
    this.#droppedBytes += bytes;
    return this.#droppedBytes > MAX_DROPPED_BYTES ? "cut" : "drop";
  }

  refuseReply(): void {
    this.#trouble = "too_large";
  }

  askAgain(): ReplyLimit {
    return this.#memory.askAgain();
  }
}

/**
 * Reads the whole body. A body that has more than `maxBytes`, or for which there is no room, is not kept. The body of a GET
 * means nothing (RFC 9110 §9.3.1) and is not read. Rejects if the caller disconnects.
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  memory: RequestMemory,
): Promise<Buffer | "too_large" | "no_room"> {
  const { method, headers } = request;
  if (Number(headers["content-length"] ?? 0) > maxBytes) return Promise.resolve("too_large");
  if (method === "GET" || method === "HEAD") return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] | undefined = [];
    let size = 0;
    const refuse = (why: "too_large" | "no_room") => {
      chunks = undefined;
      resolve(why);
    };
    request.on("data", (chunk: Buffer) => {
      if (chunks === undefined) return;
      size += chunk.length;
      if (size > maxBytes) refuse("too_large");
      else if (!memory.hold(chunk.length)) refuse("no_room");
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks ?? [])));
    request.on("error", reject);
  });
}
