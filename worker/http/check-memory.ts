import type { Session } from "../../protocol/session-request.ts";
import { MAX_MEMORY_AGE_SECONDS } from "./max-age.ts";

/** What a check may remember, at most: about 4096 * (1 KiB of grants + 0.5 KiB) = 6 MiB of an isolate's 128. */
const MAX_SESSIONS = 4096;
const MAX_GRANTS_CHARACTERS = 1024;

/** A session as the store told it, and since when that is known. */
export interface Knowledge {
  readonly session: Session;
  /** The secret itself, not its hash: the client shows it again, and memory is no storage. */
  readonly secret: Uint8Array<ArrayBuffer>;
  /** Epoch ms at which the store was asked: what it answered is not older. */
  readonly askedAt: number;
}

/** A question to the store that is under way; an answer that a revoke has overtaken is not remembered. */
export interface Inquiry {
  readonly sessid: number;
  readonly askedAt: number;
}

/**
 * What this isolate lately learned of sessions, for the callers of `/v1/check` that allow an answer of some age
 * (docs/http-api.md). Only live sessions of a user are remembered, never that there was none; what is revoked through this
 * isolate is forgotten at once, before the revoke is answered (forgetting-store.ts).
 */
export class CheckMemory {
  /** By sessid; a Map keeps the order of insertion, so the first is the one that was learned longest ago. */
  readonly #known = new Map<number, Knowledge>();
  readonly #underWay = new Set<Inquiry>();

  /** How many sessions are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** The session, if at `now` (epoch ms) it lives and what is known of it is at most `maxAgeMs` old. */
  recall(sessid: number, secret: Uint8Array<ArrayBuffer>, maxAgeMs: number, now: number): Knowledge | undefined {
    const known = this.#known.get(sessid);
    if (known === undefined || !crypto.subtle.timingSafeEqual(known.secret, secret)) return undefined;
    const isFresh = maxAgeMs > 0 && now - known.askedAt <= maxAgeMs;
    return isFresh && known.session.expiresAt > now ? known : undefined;
  }

  /** Call it before the store is asked, and end it with {@link learn}. */
  inquire(sessid: number, now: number): Inquiry {
    // Nobody ends that of a request which the runtime tore down; and an answer so old would be told to nobody.
    for (const oldest of this.#underWay) {
      if (now - oldest.askedAt <= MAX_MEMORY_AGE_SECONDS * 1000) break;
      this.#underWay.delete(oldest);
    }
    const inquiry = { sessid, askedAt: now };
    this.#underWay.add(inquiry);
    return inquiry;
  }

  /** Ends an inquiry with the store's answer, null if there is nothing to remember. */
  learn(inquiry: Inquiry, session: Session | null, secret: Uint8Array<ArrayBuffer>): void {
    if (!this.#underWay.delete(inquiry) || session === null || session.user === null) return;
    if (session.grants.reduce((sum, grant) => sum + grant.length, 0) > MAX_GRANTS_CHARACTERS) return;
    this.#known.delete(inquiry.sessid);
    this.#known.set(inquiry.sessid, { session, secret, askedAt: inquiry.askedAt });
    if (this.#known.size <= MAX_SESSIONS) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  /** Forgets these sessions, and all sessions of these users; answers that are under way count as theirs. */
  forget(sessids: ReadonlySet<number>, users: ReadonlySet<string>): void {
    for (const sessid of sessids) this.#known.delete(sessid);
    if (users.size > 0) {
      for (const [sessid, { session }] of this.#known) {
        if (session.user !== null && users.has(session.user)) this.#known.delete(sessid);
      }
    }
    for (const inquiry of this.#underWay) {
      // Whose session is being asked for is not known yet.
      if (users.size > 0 || sessids.has(inquiry.sessid)) this.#underWay.delete(inquiry);
    }
  }

  /** Forgets every session; no answer that is under way is remembered. */
  forgetAll(): void {
    this.#known.clear();
    this.#underWay.clear();
  }
}
