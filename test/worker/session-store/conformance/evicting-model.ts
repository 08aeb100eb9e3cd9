import type { RegisterRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";

interface EvictableSession {
  readonly sessid: number;
  readonly user: string | null;
  /** The number of the batch that created or refreshed it. */
  readonly batch: number;
}

/** What registers do where the oldest session makes room: a list, without a clock or an index. */
export class EvictingModel {
  readonly #cap: number;
  #live: EvictableSession[] = [];
  #batch = 0;

  constructor(cap: number) {
    this.#cap = cap;
  }

  get size(): number {
    return this.#live.length;
  }

  /** The responses to a batch, all of which runs at one moment. */
  register(requests: readonly RegisterRequest[]) {
    this.#batch += 1;
    return requests.map(({ sessid, user }) => {
      const before = this.#live.find((session) => session.sessid === sessid);
      if (before !== undefined && before.user !== user) return { status: Status.Conflict, created: false };
      if (before === undefined && user !== null && this.sessidsOf(user).length === this.#cap) this.#evictOldest(user);
      this.#live = [...this.#live.filter((session) => session !== before), { sessid, user, batch: this.#batch }];
      return { status: Status.Ok, created: before === undefined };
    });
  }

  sessidsOf(user: string): number[] {
    return this.#live.filter((session) => session.user === user).map(({ sessid }) => sessid);
  }

  #evictOldest(user: string): void {
    const own = this.#live.filter((session) => session.user === user);
    const [oldest] = own.sort((a, b) => a.batch - b.batch || a.sessid - b.sessid);
    this.#live = this.#live.filter((session) => session !== oldest);
  }
}
