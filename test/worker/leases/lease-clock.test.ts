import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LeaseClock } from "../../../worker/leases/lease-clock.ts";

const LEASE_MS = 1000;

let clock: LeaseClock;
let ended: number[];

beforeEach(() => {
  vi.useFakeTimers();
  ended = [];
  clock = new LeaseClock(LEASE_MS, () => ended.push(clock.nowMs));
});

afterEach(() => {
  vi.useRealTimers();
});

/** Sets the wall clock, as an operator or NTP does: timers do not notice. */
const setWallClock = (aheadMs: number) => vi.setSystemTime(Date.now() + aheadMs);

it("is the wall clock while no lease runs", () => {
  expect(clock.nowMs).toBe(Date.now());
});

it("comes to the end of a lease when its timer does, and says so", () => {
  const began = clock.nowMs;
  clock.begin(clock.nowMs);
  vi.advanceTimersByTime(LEASE_MS - 1);
  expect(ended).toEqual([]);
  expect(clock.nowMs).toBe(began + LEASE_MS - 1);
  vi.advanceTimersByTime(1);
  expect(ended).toEqual([began + LEASE_MS]);
});

it("ends no lease early when the wall clock is set forward", () => {
  const began = clock.nowMs;
  clock.begin(clock.nowMs);
  vi.advanceTimersByTime(100);
  setWallClock(5000);
  const later = clock.nowMs;
  clock.begin(clock.nowMs);
  expect(later).toBeLessThan(began + LEASE_MS);
  vi.advanceTimersByTime(LEASE_MS - 100);
  expect(clock.nowMs).toBeGreaterThanOrEqual(began + LEASE_MS);
  expect(clock.nowMs).toBeLessThan(later + LEASE_MS);
  vi.advanceTimersByTime(100);
  expect(clock.nowMs).toBeGreaterThanOrEqual(later + LEASE_MS);
});

it("prolongs no lease when the wall clock is set back", () => {
  const began = clock.nowMs;
  clock.begin(clock.nowMs);
  setWallClock(-60_000);
  vi.advanceTimersByTime(LEASE_MS);
  expect(clock.nowMs).toBe(began + LEASE_MS);
  expect(ended).toEqual([began + LEASE_MS]);
});
