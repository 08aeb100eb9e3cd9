import * as v from "valibot";
import { parseEnvironment, wholeNumber } from "../../config/environment.ts";
import {
  CURRENT_COST,
  hashPassword,
  isCommonPassword,
  type PasswordVerdict,
  type ScryptCost,
  verifyPassword,
} from "./password.ts";

/** What the hasher is asked. */
export type PasswordRequest = {
  /** What asks, as limits count it: passwords wait by turns of it. */
  readonly from: string;
} & PasswordQuestion;

type PasswordQuestion =
  /** To hash a password that somebody chose. */
  | { readonly kind: "choose"; readonly password: string }
  /** To hash anew what an account has already. */
  | { readonly kind: "rehash"; readonly password: string }
  /** To compare a password with an account's PHC string; null for an account that does not exist. */
  | {
      readonly kind: "verify";
      readonly password: string;
      readonly phc: string | null;
      /** Before those that are not, in a queue of its own. */
      readonly urgent: boolean;
    };

/** What it answers with 200. */
export type PasswordResponse =
  | { readonly kind: "hashed"; readonly hash: string }
  /** Everybody uses this password: nobody may choose it. */
  | { readonly kind: "common" }
  | ({ readonly kind: "verified" } & PasswordVerdict);

/** When to come again if too many hashes wait: by then most of them are done. */
export const BUSY_RETRY_SECONDS = 5;

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
 * Hashes passwords for the worker, which would answer nothing else meanwhile. Only the worker can ask it: on Cloudflare it is
 * a worker of its own without an address (index.ts), under `npm start` it runs in Node's threads.
 */
export class PasswordService {
  readonly #queue: HashQueue;
  readonly #cost: ScryptCost;

  /** Tests that hash many passwords choose a lower `cost`. */
  constructor(limits: HashQueueLimits, cost: ScryptCost = CURRENT_COST) {
    this.#queue = new HashQueue(limits);
    this.#cost = cost;
  }

  /** Answers a {@link PasswordRequest} as JSON; 503 with Retry-After while too many wait. */
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

/** How much a hasher takes on. */
export interface HashQueueLimits {
  /** Hashes at the same time; each takes a processor and 16 MiB. */
  readonly atOnce: number;
  /** Those that wait their turn, of the urgent and of the others each; what comes beyond them is refused. */
  readonly maxWaiting: number;
}

/** Whose turn a hash takes. */
export interface HashTurn {
  /** What asks: those that wait take turns by it, so that many of one do not keep another waiting. */
  readonly from: string;
  readonly urgent: boolean;
}

/** Called when its turn has come, or is not to come. */
type Waiting = (turn: "go" | "busy") => void;

/** After so many urgent ones one of the others has a turn: anybody who signs up has a device that is known. */
const URGENT_IN_A_ROW = 3;

/** Runs the hashes few at a time: the urgent before the others, those who ask by turns, each in the order in which its own came. */
export class HashQueue {
  readonly #atOnce: number;
  readonly #urgent: FairLine;
  readonly #others: FairLine;
  #running = 0;
  #urgentInARow = 0;

  constructor({ atOnce, maxWaiting }: HashQueueLimits) {
    this.#atOnce = atOnce;
    this.#urgent = new FairLine(maxWaiting);
    this.#others = new FairLine(maxWaiting);
  }

  /** The job's result, or "busy" if too many wait; then it was not begun. */
  async run<T>(job: () => Promise<T>, { from, urgent }: HashTurn): Promise<T | "busy"> {
    if (this.#running >= this.#atOnce) {
      const line = urgent ? this.#urgent : this.#others;
      // Who ends hands the turn on, so that nobody who comes in this moment takes it.
      if ((await new Promise<"go" | "busy">((resolve) => line.join(from, resolve))) === "busy") return "busy";
    } else {
      this.#running += 1;
    }
    try {
      return await job();
    } finally {
      // In a Worker a hash stops everything: who came meanwhile is counted, and refused, before the next one.
      setTimeout(() => this.#handOn(), 0);
    }
  }

  #handOn(): void {
    const next = this.#next();
    if (next === undefined) this.#running -= 1;
    else next("go");
  }

  #next(): Waiting | undefined {
    const urgent = this.#urgentInARow < URGENT_IN_A_ROW ? this.#urgent.take() : undefined;
    this.#urgentInARow = urgent === undefined ? 0 : this.#urgentInARow + 1;
    return urgent ?? this.#others.take() ?? this.#urgent.take();
  }
}

/** Those that wait, by who asks: one of each in turn. Beyond its length, the last of who has the most is turned away. */
class FairLine {
  readonly #most: number;
  /** In the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  join(from: string, waiting: Waiting): void {
    const own = this.#waiting.get(from) ?? [];
    own.push(waiting);
    this.#waiting.set(from, own);
    this.#count += 1;
    if (this.#count > this.#most) this.#turnAway(from, own);
  }

  take(): Waiting | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [from, own] = first;
    const waiting = own.shift();
    this.#waiting.delete(from);
    if (own.length > 0) this.#waiting.set(from, own);
    this.#count -= 1;
    return waiting;
  }

  /** Where others have as many, who came last is. */
  #turnAway(from: string, own: Waiting[]): void {
    let [who, most] = [from, own];
    for (const [other, theirs] of this.#waiting) if (theirs.length > most.length) [who, most] = [other, theirs];
    const last = most.pop();
    if (most.length === 0) this.#waiting.delete(who);
    this.#count -= 1;
    last?.("busy");
  }
}
