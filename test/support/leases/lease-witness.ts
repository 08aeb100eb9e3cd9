import type { VirtualClock } from "../simulator/virtual-clock.ts";
import type { SessionState, SimulatedStore } from "./simulated-store.ts";

/** Compares what bridges answer from memory with what really became of the sessions. */
export class LeaseWitness {
  readonly faults: string[] = [];
  hits = 0;
  readonly #clock: VirtualClock;
  readonly #store: SimulatedStore;
  readonly #boundMs: number;

  constructor(clock: VirtualClock, store: SimulatedStore, boundMs: number) {
    this.#clock = clock;
    this.#store = store;
    this.#boundMs = boundMs;
  }

  /** A bridge answers Ok by the state `id`; null: by what a plain check said, which does not tell the state. */
  answersOk(bridge: string, sessid: number, id: string | null): void {
    this.hits += 1;
    const states = this.#store.statesOf(sessid).filter((state) => id === null || state.id === id);
    const faults = states.map((state) => this.#findFault(state));
    // Without a state, any that is still allowed will do.
    if (!faults.includes(undefined)) this.#fault(bridge, sessid, `Ok ${faults.at(-1) ?? "by a state that never was"}`);
  }

  /** A bridge answers NotFound. */
  answersNotFound(bridge: string, sessid: number): void {
    const state = this.#store.statesOf(sessid).at(-1);
    if (state === undefined || state.change !== undefined || state.expiresMs <= this.#store.nowMs) return;
    if (this.#clock.nowMs > state.answeredMs) this.#fault(bridge, sessid, "NotFound after its register was answered");
  }

  /** A bridge answers a check before a delete of the session that the same connection sent first. */
  overtakes(bridge: string, sessid: number): void {
    this.#fault(bridge, sessid, "Ok before the delete that its connection sent first");
  }

  /** Why nobody may answer by this state now. */
  #findFault({ change, expiresMs }: SessionState): string | undefined {
    const { nowMs } = this.#clock;
    if (change === undefined || change.isExpiry) {
      const lateMs = this.#store.nowMs - expiresMs;
      return lateMs >= 0 ? `${Math.round(lateMs)} ms after it expired` : undefined;
    }
    if (nowMs > change.answeredMs)
      return `by the old state ${Math.round(nowMs - change.answeredMs)} ms after the answer`;
    if (nowMs <= change.takenMs + this.#boundMs) return undefined;
    return `by the old state ${Math.round(nowMs - change.takenMs)} ms after the store took it`;
  }

  #fault(bridge: string, sessid: number, text: string): void {
    this.faults.push(`${Math.round(this.#clock.nowMs)} ${bridge}, session ${sessid}: ${text}`);
  }
}
