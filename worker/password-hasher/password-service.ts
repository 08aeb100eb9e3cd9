import { scrypt, timingSafeEqual } from "node:crypto";
import * as v from "valibot";
import { parseEnvironment, wholeNumber } from "../../config/environment.ts";

/** A request to the hasher. */
export type PasswordRequest = {
  /** The client's key in limits, for example its network. Clients take turns in the queue. */
  readonly from: string;
} & HashJob;

type HashJob =
  /** Hash a new password. */
  | { readonly kind: "choose"; readonly password: string }
  /** Hash the password of an account with today's parameters. */
  | { readonly kind: "rehash"; readonly password: string }
  /**
   * Compare a password with an account's PHC string. For an account that does not exist, the string is null: the comparison
   * takes as long, and does not match.
   */
  | {
      readonly kind: "verify";
      readonly password: string;
      readonly phc: string | null;
      /** Whether it goes to the urgent queue, which is served first. */
      readonly urgent: boolean;
    };

/** A response of the hasher, with status 200. */
export type PasswordResponse =
  | { readonly kind: "hashed"; readonly hash: string }
  /** A common password, which nobody may choose. */
  | { readonly kind: "common" }
  | ({ readonly kind: "verified" } & PasswordVerdict);

/** When to try again if too many hashes wait: most of them are done by then. */
const BUSY_RETRY_SECONDS = 5;

/** Every variable that the password hasher reads. */
export const HasherVariables = v.object({
  PASSWORD_HASHES_AT_ONCE: wholeNumber(1, 64, 2),
  PASSWORD_QUEUE: wholeNumber(1, 10_000, 50),
});

/**
 * Parses the hasher's variables (docs/configuration.md).
 *
 * @throws ConfigError naming the variables that are wrong
 */
export function parseHashQueueLimits(environment: object): HashQueueLimits {
  const { PASSWORD_HASHES_AT_ONCE, PASSWORD_QUEUE } = parseEnvironment(HasherVariables, environment);
  return { atOnce: PASSWORD_HASHES_AT_ONCE, maxWaiting: PASSWORD_QUEUE };
}

/**
 * Hashes passwords for the worker, whose isolate would do nothing else during a hash. Only the worker can call it: on
 * Cloudflare it is a worker of its own without an address (index.ts), under `npm start` it runs in Node's threads.
 */
export class PasswordService {
  readonly #queue: HashQueue;
  readonly #cost: ScryptCost;

  /** Tests that hash many passwords choose a lower `cost`. */
  constructor(limits: HashQueueLimits, cost: ScryptCost = CURRENT_COST) {
    this.#queue = new HashQueue(limits);
    this.#cost = cost;
  }

  /** The response to a {@link PasswordRequest} as JSON; 503 with Retry-After if too many wait. */
  async handle(request: PasswordRequest): Promise<Response> {
    const response = await this.#decide(request);
    if (response !== "busy") return Response.json(response);
    return new Response(null, { status: 503, headers: { "Retry-After": String(BUSY_RETRY_SECONDS) } });
  }

  async #decide(request: PasswordRequest): Promise<PasswordResponse | "busy"> {
    const { kind, password, from } = request;
    if (kind === "choose" && (await isCommonPassword(password))) return { kind: "common" };
    return this.#queue.run(
      async () => {
        if (kind !== "verify") return { kind: "hashed", hash: await hashPassword(password, this.#cost) };
        return { kind: "verified", ...(await verifyPassword(password, request.phc ?? undefined, this.#cost)) };
      },
      { from, urgent: kind === "verify" && request.urgent },
    );
  }
}

/** Bounds of a {@link HashQueue}. */
export interface HashQueueLimits {
  /** Hashes that run at the same time; each takes a processor and 16 MiB. */
  readonly atOnce: number;
  /** The most hashes that wait in each of the two queues, the urgent one and the other; further ones are refused. */
  readonly maxWaiting: number;
}

/** How a hash is queued. */
export interface QueuedHash {
  /** The key under which limits count the client. */
  readonly from: string;
  readonly urgent: boolean;
}

/** Called once: the hash may run now, or the queue is full. */
type Dequeued = (verdict: "run" | "busy") => void;

/**
 * After this many urgent hashes in a row, one of the others runs. Otherwise urgent hashes could block the others, because
 * anybody who signs up gets a device whose logins are urgent.
 */
const MAX_URGENT_IN_A_ROW = 3;

/** Runs a few hashes at a time, urgent ones first. Waiting clients take turns, and a client's hashes keep their order. */
export class HashQueue {
  readonly #atOnce: number;
  readonly #urgent: RoundRobinQueue;
  readonly #others: RoundRobinQueue;
  #running = 0;
  #urgentInARow = 0;

  constructor({ atOnce, maxWaiting }: HashQueueLimits) {
    this.#atOnce = atOnce;
    this.#urgent = new RoundRobinQueue(maxWaiting);
    this.#others = new RoundRobinQueue(maxWaiting);
  }

  /** The job's result, or "busy" if too many wait: then the job was not started. */
  async run<T>(job: () => Promise<T>, { from, urgent }: QueuedHash): Promise<T | "busy"> {
    if (this.#running >= this.#atOnce) {
      const queue = urgent ? this.#urgent : this.#others;
      // A job that ends passes its place on, so that no newcomer takes it in between.
      if ((await new Promise<"run" | "busy">((resolve) => queue.add(from, resolve))) === "busy") return "busy";
    } else {
      this.#running += 1;
    }
    try {
      return await job();
    } finally {
      // A Worker does nothing else during a hash. The timer lets requests that arrived meanwhile be queued or refused first.
      setTimeout(() => this.#runNext(), 0);
    }
  }

  #runNext(): void {
    const next = this.#dequeue();
    if (next === undefined) this.#running -= 1;
    else next("run");
  }

  #dequeue(): Dequeued | undefined {
    const urgent = this.#urgentInARow < MAX_URGENT_IN_A_ROW ? this.#urgent.take() : undefined;
    this.#urgentInARow = urgent === undefined ? 0 : this.#urgentInARow + 1;
    return urgent ?? this.#others.take() ?? this.#urgent.take();
  }
}

/** A queue that serves clients in turn. When it is full, the client with the most entries loses its last one. */
class RoundRobinQueue {
  readonly #capacity: number;
  /** By client, in the order of their turns. */
  readonly #waiting = new Map<string, Dequeued[]>();
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(from: string, entry: Dequeued): void {
    const own = this.#waiting.get(from) ?? [];
    own.push(entry);
    this.#waiting.set(from, own);
    this.#count += 1;
    if (this.#count > this.#capacity) this.#refuseOne(from, own);
  }

  take(): Dequeued | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [from, own] = first;
    const entry = own.shift();
    this.#waiting.delete(from);
    if (own.length > 0) this.#waiting.set(from, own);
    this.#count -= 1;
    return entry;
  }

  /** Among clients with equally many entries, the newcomer is refused. */
  #refuseOne(newcomer: string, own: Dequeued[]): void {
    let [client, entries] = [newcomer, own];
    for (const [other, theirs] of this.#waiting)
      if (theirs.length > entries.length) [client, entries] = [other, theirs];
    const last = entries.pop();
    if (entries.length === 0) this.#waiting.delete(client);
    this.#count -= 1;
    last?.("busy");
  }
}

/** scrypt's parameters: N = 2^log2N, r, p. It needs 128 * N * r bytes of memory. */
export interface ScryptCost {
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
}

/**
 * What new hashes are made with: N=2^14 r=8 p=5, one of the equal choices of OWASP's Password Storage Cheat Sheet, and the
 * one whose 16 MiB leave room in the 128 MiB of a Worker. Raise it here: each account follows at its next login.
 */
export const CURRENT_COST: ScryptCost = { log2N: 14, r: 8, p: 5 };

/** How a password compares with a stored hash. */
export interface PasswordVerdict {
  readonly matches: boolean;
  /** Whether the hash was made with parameters other than the current ones, and should be replaced. */
  readonly outdated: boolean;
}

const SALT_BYTES = 16;
const KEY_BYTES = 32;

interface ParsedHash {
  readonly cost: ScryptCost;
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
}

/** The password's salted hash as a PHC string: `$scrypt$ln=14,r=8,p=5$salt$key`, base64 without padding. */
export async function hashPassword(password: string, cost: ScryptCost = CURRENT_COST): Promise<string> {
  const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  const key = await derive(password, salt, cost);
  return `$scrypt$ln=${cost.log2N},r=${cost.r},p=${cost.p}$${toBase64(salt)}$${toBase64(key)}`;
}

/**
 * Compares a password with a PHC string of {@link hashPassword}, in constant time. Without a hash, and with one that
 * cannot be read, it takes as long as for a wrong password and does not match: the time does not reveal who has an account.
 * `currentCost` is what new hashes are made with.
 */
export async function verifyPassword(
  password: string,
  phc: string | undefined,
  currentCost: ScryptCost = CURRENT_COST,
): Promise<PasswordVerdict> {
  const stored = phc === undefined ? undefined : parseHash(phc);
  const { cost, salt, key } = stored ?? {
    cost: currentCost,
    salt: new Uint8Array(SALT_BYTES),
    key: new Uint8Array(KEY_BYTES),
  };
  const isEqual = timingSafeEqual(await derive(password, salt, cost), key);
  const isCurrent = cost.log2N === currentCost.log2N && cost.r === currentCost.r && cost.p === currentCost.p;
  return { matches: stored !== undefined && isEqual, outdated: !isCurrent };
}

function derive(password: string, salt: Uint8Array, { log2N, r, p }: ScryptCost): Promise<Uint8Array> {
  const N = 2 ** log2N;
  // Two keyboards may send the same character, one composed and one decomposed (NIST SP 800-63B-4 §3.1.1.2).
  const bytes = new TextEncoder().encode(password.normalize("NFKC"));
  // The memory it takes is 128 * N * r and a little more.
  const options = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(bytes, salt, KEY_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function parseHash(phc: string): ParsedHash | undefined {
  const parts = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/.exec(
    phc,
  );
  if (parts === null) return undefined;
  const [, log2N = "", r = "", p = "", salt = "", key = ""] = parts;
  return {
    cost: { log2N: Number(log2N), r: Number(r), p: Number(p) },
    salt: fromBase64(salt),
    key: fromBase64(key),
  };
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("=", "");
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/**
 * Whether the password is common, in any case and composition: one of the 49,000 that zxcvbn-ts has collected from leaks,
 * which are tried first (OWASP ASVS 5.0, 6.2.4).
 */
async function isCommonPassword(password: string): Promise<boolean> {
  commonPasswords ??= loadCommonPasswords();
  return (await commonPasswords).has(password.normalize("NFKC").trim().toLowerCase());
}

/** Loaded when the first password is chosen, because logins do not need it. */
async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import("@zxcvbn-ts/language-common");
  return new Set(dictionary["passwords-common"]);
}
