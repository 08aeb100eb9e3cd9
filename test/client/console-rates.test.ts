import { describe, expect, test } from "vitest";
import { CHART_SECONDS, CountHistory, EventRates } from "../../client/browser/console/rates.ts";

const NOW_MS = 1_800_000_000_500;
const NOW = Math.floor(NOW_MS / 1000);

/** The seconds of a chart that are not 0, by how many seconds ago they were; null: not known. */
function history([seconds, began, ended]: ReturnType<EventRates["columns"]>) {
  return seconds.flatMap((second, index) => {
    const [begins, ends] = [began[index], ended[index]];
    return begins === 0 && ends === 0 ? [] : [{ ago: NOW - second, begins, ends }];
  });
}

/** Rates that have listened for longer than the chart shows. */
function listening(): EventRates {
  const rates = new EventRates();
  rates.listen(NOW_MS - 2 * CHART_SECONDS * 1000);
  return rates;
}

describe("the console's rates", () => {
  test("counts begins and ends in the second in which they happened, and nothing else", () => {
    const rates = listening();
    for (const at of [NOW_MS - 2000, NOW_MS - 2400, NOW_MS - 3000]) rates.add({ kind: "began", at });
    rates.add({ kind: "ended", at: NOW_MS - 2000 });
    rates.add({ kind: "changed", at: NOW_MS - 2000 });
    expect(history(rates.columns(NOW_MS))).toEqual([
      { ago: 3, begins: 1, ends: 0 },
      { ago: 2, begins: 2, ends: 1 },
    ]);
  });

  test("shows the last five minutes before this second, which is not over", () => {
    const rates = listening();
    for (const at of [NOW_MS, NOW_MS - CHART_SECONDS * 1000, NOW_MS - (CHART_SECONDS + 1) * 1000]) {
      rates.add({ kind: "began", at });
    }
    const [seconds] = rates.columns(NOW_MS);
    expect([seconds.length, seconds[0], seconds.at(-1)]).toEqual([CHART_SECONDS, NOW - CHART_SECONDS, NOW - 1]);
    expect(history(rates.columns(NOW_MS))).toEqual([{ ago: CHART_SECONDS, begins: 1, ends: 0 }]);
  });

  test("does not take seconds in which nobody listened for seconds without events", () => {
    const rates = new EventRates();
    expect(rates.current(NOW_MS)).toBeNull();
    rates.listen(NOW_MS - 10_000);
    rates.pause(NOW_MS - 7_000);
    rates.listen(NOW_MS - 4_000);
    const known = rates.columns(NOW_MS)[1].flatMap((begins, index) => (begins === null ? [] : [CHART_SECONDS - index]));
    expect(known).toEqual([10, 9, 8, 4, 3, 2, 1]);
  });

  test("gives the mean of the last five seconds that are over", () => {
    const rates = listening();
    for (const ago of [0, 1, 2, 2, 5, 6]) rates.add({ kind: "began", at: NOW_MS - ago * 1000 });
    rates.add({ kind: "ended", at: NOW_MS - 1000 });
    expect(rates.current(NOW_MS)).toEqual({ began: 4 / 5, ended: 1 / 5 });
  });

  test("shows an expiry that is found late where it happened, and keeps none for ever", () => {
    const rates = listening();
    rates.add({ kind: "ended", at: NOW_MS - 100_000 });
    expect(history(rates.columns(NOW_MS))).toEqual([{ ago: 100, begins: 0, ends: 1 }]);
    expect(history(rates.columns(NOW_MS + 1_000_000))).toEqual([]);
    expect(history(rates.columns(NOW_MS))).toEqual([]);
  });
});

describe("the console's counts", () => {
  test("are kept for as long as the chart shows", () => {
    const counts = new CountHistory();
    for (let at = NOW_MS - 400_000; at <= NOW_MS; at += 5_000) counts.add(at, 7, 3);
    const [seconds, sessions, users] = counts.columns(NOW_MS);
    expect([seconds[0], seconds.length]).toEqual([NOW - CHART_SECONDS, CHART_SECONDS / 5 + 1]);
    expect([sessions.at(-1), users.at(-1)]).toEqual([7, 3]);
  });
});
