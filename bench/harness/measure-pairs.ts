import type { CaseResult } from "../report/results.ts";
import { type BenchOptions, type CaseTitle, judge, median, type Pair } from "./bench-case.ts";
import type { Leg, LoadDriver } from "./load-driver.ts";

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

/** Medians of the CPU shares, and what one answer costs each process in microseconds of CPU. */
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
