import { DurableObject } from "cloudflare:workers";
import type { SessionResponse } from "../../protocol/session-request.ts";
import { EmbeddedEngine } from "./embedded-engine.ts";
import { EmbeddedTable } from "./embedded-table.ts";
import type { DrawnRequest } from "./issue-draw.ts";
import type { EndedSessions, SessionPolicy } from "./session-store.ts";

/** What a run left to be touched. */
interface PendingTouches {
  readonly sessids: ReadonlySet<number>;
  /** Epoch ms of the checks. */
  readonly at: number;
  readonly policy: SessionPolicy;
}

/** Expired rows that a run with a write removes, and that one step of a sweep removes. */
const MAX_TRIMMED_PER_RUN = 100;
const MAX_TRIMMED_PER_SWEEP = 1000;

/** Sessions that one step of the end of all removes; checks are served between two steps. */
const MAX_ENDED_PER_STEP = 1000;

/** All sessions in one Durable Object. The truth is its SQLite; what it holds in memory may be lost at any time. */
export class EmbeddedSessions extends DurableObject {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #table: EmbeddedTable;
  readonly #pendingTouches: PendingTouches[] = [];

  constructor(state: DurableObjectState, env: unknown) {
    super(state, env as Cloudflare.Env);
    this.#table = new EmbeddedTable(state.storage.sql);
  }

  /** Executes the requests in their order, all of them or, if it throws, none. */
  run(requests: readonly DrawnRequest[], policy: SessionPolicy): SessionResponse[] {
    const now = this.nowMs();
    return this.ctx.storage.transactionSync(() => {
      const engine = new EmbeddedEngine(this.#table, policy, now);
      const responses = requests.map((request) => engine.execute(request));
      if (engine.wrote) this.#table.trim(now, MAX_TRIMMED_PER_RUN);
      if (engine.touches.size > 0) this.#touchLater({ sessids: engine.touches, at: now, policy });
      return responses;
    });
  }

  /** Removes some of the expired rows; whether there may be more. */
  sweep(): boolean {
    return this.#table.trim(this.nowMs(), MAX_TRIMMED_PER_SWEEP) === MAX_TRIMMED_PER_SWEEP;
  }

  /** Ends some of the sessions; complete if there was none left. */
  endSome(): EndedSessions {
    const { removed, live } = this.#table.deleteSome(this.nowMs(), MAX_ENDED_PER_STEP);
    return { ended: live, complete: removed < MAX_ENDED_PER_STEP };
  }

  /** Writes the touches that are pending. A session that ended or began anew since its check is left as it is. */
  applyTouches(): void {
    const now = this.nowMs();
    for (const { sessids, at, policy } of this.#pendingTouches.splice(0)) {
      for (const sessid of sessids) this.#table.touch(sessid, at, now, policy.touchIntervalMs, policy.maxMs);
    }
  }

  /** An answer waits until what was written before it is durable; a check's answer need not wait for its touch. */
  #touchLater(touches: PendingTouches): void {
    if (this.#pendingTouches.push(touches) === 1) setTimeout(() => this.applyTouches(), 0);
  }
}
