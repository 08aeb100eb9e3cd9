import type { CaseResult } from "../report/results.ts";

/** What a ratio, ours to the peer's, must be. */
export type Target = { readonly op: ">=" | "<="; readonly value: number };

/** What is known of a case before it is measured. */
export interface CaseTitle {
  readonly group: string;
  readonly name: string;
  /** The peer, and how it is used. */
  readonly against: string;
  readonly unit: string;
  readonly target: Target;
}

/** How a case is to be measured, and where it says what it does. */
export interface BenchOptions {
  readonly seconds: number;
  readonly pairs: number;
  /** Length of the one leg that is about memory, not speed. */
  readonly soakSeconds: number;
  readonly progress: (line: string) => void;
}

/** Cases that share what they start. */
export interface BenchGroup {
  readonly name: string;
  run(options: BenchOptions): Promise<CaseResult[]>;
}

/** Two figures that were measured one right after the other. */
export interface Pair {
  readonly ours: number;
  readonly peer: number;
}

/** Judges the pairs of a case. */
export function judge(title: CaseTitle, pairs: readonly Pair[], seen?: Readonly<Record<string, number>>): CaseResult {
  const ratios = pairs.map(({ ours, peer }) => ours / peer);
  const ratio = { min: Math.min(...ratios), median: median(ratios), max: Math.max(...ratios) };
  const { op, value } = title.target;
  return {
    ...title,
    ours: median(pairs.map(({ ours }) => ours)),
    peer: median(pairs.map(({ peer }) => peer)),
    ratio,
    target: `${op} ${value}`,
    met: op === ">=" ? ratio.median >= value : ratio.median <= value,
    ...(seen !== undefined && { seen }),
  };
}

/** The middle one of an odd number of values, else the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}
