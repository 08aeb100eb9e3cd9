import type { CaseResult } from "../report/results.ts";
import type { Leg, LoadDriver } from "./load-driver.ts";

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

/** How a case is measured, and where it reports its progress. */
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
  /** Installs what it needs, or throws; called before anything is measured. */
  readonly prepare?: () => void;
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

/** The part of a leg that each side runs before it counts. */
const WARM_UP_SHARE = 0.5;

/** Measures A B A B ... with two loads, and judges how many a second each side did. */
export async function measureRates(
  title: CaseTitle,
  ours: LoadDriver,
  peer: LoadDriver,
  { seconds, pairs, progress }: BenchOptions,
): Promise<CaseResult> {
  await ours.run(seconds * WARM_UP_SHARE);
  await peer.run(seconds * WARM_UP_SHARE);
  const legs: { ours: Leg; peer: Leg }[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    const leg = { ours: await ours.run(seconds), peer: await peer.run(seconds) };
    legs.push(leg);
    const [a, b] = [rate(leg.ours), rate(leg.peer)];
    progress(`${title.name}, pair ${pair}/${pairs}: ${Math.round(a)} to ${Math.round(b)} ${title.unit}`);
  }
  const rates: Pair[] = legs.map((leg) => ({ ours: rate(leg.ours), peer: rate(leg.peer) }));
  return judge(title, rates, { ...seenOf("ours", legs), ...seenOf("peer", legs) });
}

/** Measures A B A B ... with two functions that give a figure each. */
export async function measureFigures(
  title: CaseTitle,
  ours: () => Promise<number>,
  peer: () => Promise<number>,
  { pairs, progress }: BenchOptions,
): Promise<CaseResult> {
  const measured: Pair[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    const figures = { ours: await ours(), peer: await peer() };
    measured.push(figures);
    const [a, b] = [figures.ours.toPrecision(4), figures.peer.toPrecision(4)];
    progress(`${title.name}, pair ${pair}/${pairs}: ${a} to ${b} ${title.unit}`);
  }
  return judge(title, measured);
}

function rate({ done, seconds }: Leg): number {
  return done / seconds;
}

/** Medians of the CPU shares, and the microseconds of CPU that one response costs each process. */
function seenOf(side: "ours" | "peer", legs: readonly { readonly ours: Leg; readonly peer: Leg }[]) {
  const seen: Record<string, number> = {};
  const sideLegs = legs.map((leg) => leg[side]);
  seen[`${side} load cpu`] = median(sideLegs.map(({ cpuShare }) => cpuShare));
  for (const name of Object.keys(sideLegs[0]?.cpuShares ?? {})) {
    const shares = sideLegs.map((leg) => leg.cpuShares[name] ?? 0);
    seen[`${side} ${name} cpu`] = median(shares);
    seen[`${side} ${name} us each`] = median(sideLegs.map((leg, index) => ((shares[index] ?? 0) / rate(leg)) * 1e6));
  }
  return seen;
}
