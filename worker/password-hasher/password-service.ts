import * as v from "valibot";
import { wholeNumber } from "../settings.ts";
import { isCommonPassword } from "./common-passwords.ts";
import { HashQueue, type HashQueueLimits } from "./hash-queue.ts";
import { hashPassword, type PasswordVerdict, verifyPassword } from "./password.ts";

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

const Limits = v.object({
  PASSWORD_HASHES_AT_ONCE: wholeNumber(1, 64, 2),
  PASSWORD_QUEUE: wholeNumber(1, 10_000, 50),
});

/** Every variable that the password hasher reads. */
export const HASHER_SETTING_NAMES: readonly string[] = Object.keys(Limits.entries);

/**
 * Parses the hasher's variables (docs/configuration.md).
 *
 * @throws Error naming the first variable that is wrong
 */
export function parseHashQueueLimits(environment: object): HashQueueLimits {
  const parsed = v.safeParse(Limits, environment);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new Error(`${v.getDotPath(issue) ?? "environment"}: ${issue.message}`);
  }
  return { atOnce: parsed.output.PASSWORD_HASHES_AT_ONCE, maxWaiting: parsed.output.PASSWORD_QUEUE };
}

/**
 * Hashes passwords for the worker, which would answer nothing else meanwhile. Only the worker can ask it: on Cloudflare it is
 * a worker of its own without an address (index.ts), under `npm start` it runs in Node's threads.
 */
export class PasswordService {
  readonly #queue: HashQueue;

  constructor(limits: HashQueueLimits) {
    this.#queue = new HashQueue(limits);
  }

  /** Answers a {@link PasswordRequest} as JSON; 503 with Retry-After while too many wait. */
  async answer(request: PasswordRequest): Promise<Response> {
    const response = await this.#decide(request);
    if (response !== "busy") return Response.json(response);
    return new Response(null, { status: 503, headers: { "Retry-After": String(BUSY_RETRY_SECONDS) } });
  }

  async #decide(request: PasswordRequest): Promise<PasswordResponse | "busy"> {
    const { kind, password, from } = request;
    if (kind === "choose" && (await isCommonPassword(password))) return { kind: "common" };
    return this.#queue.run(
      async () => {
        if (kind !== "verify") return { kind: "hashed", hash: await hashPassword(password) };
        return { kind: "verified", ...(await verifyPassword(password, request.phc ?? undefined)) };
      },
      { from, urgent: kind === "verify" && request.urgent },
    );
  }
}
