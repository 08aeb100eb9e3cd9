import type { SessionRequest, SessionResponse } from "../../protocol/session-request.ts";
import type { EndedSessions, SessionStore } from "../session-store/session-store.ts";
import type { CheckMemory } from "./check-memory.ts";

/**
 * A store that makes the isolate's memory forget what a run has ended or changed, before anybody hears of it. Everything
 * goes through the one door to storage, so every revoke does: by a service, a packet, a logout or a cap on sessions.
 */
export class ForgettingStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #memory: CheckMemory;
  readonly #evicts: boolean;

  /** @param evicts whether a new session may end others of its user (SESSION_LIMIT_POLICY) */
  constructor(store: SessionStore, memory: CheckMemory, evicts: boolean) {
    this.#store = store;
    this.#memory = memory;
    this.#evicts = evicts;
  }

  async run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    const responses = await this.#store.run(requests);
    // Whatever the answers are: a delete that was not answered in time may have been done.
    this.#forget(requests);
    return responses;
  }

  async endAll(): Promise<EndedSessions> {
    try {
      return await this.#store.endAll();
    } finally {
      this.#memory.forgetAll();
    }
  }

  ping(): Promise<boolean> {
    return this.#store.ping();
  }

  sweep(): Promise<void> {
    return this.#store.sweep();
  }

  #forget(requests: readonly SessionRequest[]): void {
    const sessids = new Set<number>();
    const users = new Set<string>();
    for (const request of requests) {
      if (request.kind === "delete" || request.kind === "register") sessids.add(request.sessid);
      if (request.kind === "deleteUser") users.add(request.user);
      const creates = request.kind === "issue" || request.kind === "register";
      if (creates && this.#evicts && request.user !== null) users.add(request.user);
    }
    if (sessids.size > 0 || users.size > 0) this.#memory.forget(sessids, users);
  }
}
