import type { LogEvent } from "./server.ts";

/** The seconds that a chart shows. */
export const CHART_SECONDS = 300;

/** Values by their second, in columns as uPlot takes them; null: not known. */
export type Columns = [seconds: number[], first: (number | null)[], second: (number | null)[]];

/** Sessions that began and ended, by the second in which they did. Seconds in which nobody listened are not known. */
export class EventRates {
  readonly #seconds = new Map<number, { began: number; ended: number }>();
  /** Since when events are heard, epoch ms; undefined: they are not. */
  #heardSinceMs: number | undefined;
  /** The seconds that were heard before: from, and up to without. */
  readonly #heard: [from: number, to: number][] = [];

  /** From now on each event is added. */
  listen(nowMs: number): void {
    this.#heardSinceMs ??= nowMs;
  }

  /** From now on events may be missed. */
  pause(nowMs: number): void {
    if (this.#heardSinceMs === undefined) return;
    this.#heard.push([secondOf(this.#heardSinceMs), secondOf(nowMs)]);
    if (this.#heard.length > CHART_SECONDS) this.#heard.shift();
    this.#heardSinceMs = undefined;
  }

  add({ kind, at }: Pick<LogEvent, "kind" | "at">): void {
    if (kind === "changed") return;
    const second = secondOf(at);
    const counts = this.#seconds.get(second);
    if (counts === undefined) this.#seconds.set(second, { began: 0, ended: 0, [kind]: 1 });
    else counts[kind] += 1;
  }

  /** The last {@link CHART_SECONDS} before this second, which is not over. */
  columns(nowMs: number): Columns {
    const now = secondOf(nowMs);
    for (const second of this.#seconds.keys()) if (second < now - CHART_SECONDS) this.#seconds.delete(second);
    const seconds = Array.from({ length: CHART_SECONDS }, (_, index) => now - CHART_SECONDS + index);
    const column = (kind: "began" | "ended") =>
      seconds.map((second) => this.#seconds.get(second)?.[kind] ?? (this.#wasHeard(second) ? 0 : null));
    return [seconds, column("began"), column("ended")];
  }

  /** Begins and ends a second, over the last five seconds that are over; null if they were not heard. */
  current(nowMs: number): { began: number; ended: number } | null {
    const [, began, ended] = this.columns(nowMs).map((column) => column.slice(-5));
    const mean = (values: readonly (number | null)[] = []): number | null => {
      const known = values.filter((value) => value !== null);
      return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
    };
    const [begins, ends] = [mean(began), mean(ended)];
    return begins === null || ends === null ? null : { began: begins, ended: ends };
  }

  #wasHeard(second: number): boolean {
    if (this.#heardSinceMs !== undefined && second >= secondOf(this.#heardSinceMs)) return true;
    return this.#heard.some(([from, to]) => second >= from && second < to);
  }
}

/** Counts of sessions and users, by the second in which they were counted. */
export class CountHistory {
  readonly #counts: { second: number; sessions: number; users: number }[] = [];

  add(atMs: number, sessions: number, users: number): void {
    this.#counts.push({ second: secondOf(atMs), sessions, users });
    if (this.#counts.length > CHART_SECONDS) this.#counts.shift();
  }

  columns(nowMs: number): Columns {
    const counts = this.#counts.filter(({ second }) => second >= secondOf(nowMs) - CHART_SECONDS);
    return [
      counts.map(({ second }) => second),
      counts.map(({ sessions }) => sessions),
      counts.map(({ users }) => users),
    ];
  }
}

function secondOf(epochMs: number): number {
  return Math.floor(epochMs / 1000);
}
