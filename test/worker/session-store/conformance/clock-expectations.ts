import { expect } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { check, count, get } from "./session-requests.ts";

/** Runs `work`, which returns an epoch ms, and expects it to be `offsetMs` after the moment at which it ran. */
export async function expectSetTo(
  harness: StoreHarness,
  offsetMs: number,
  work: () => Promise<number>,
): Promise<number> {
  const before = await harness.now();
  const time = await work();
  const after = await harness.now();
  expect(time).toBeGreaterThanOrEqual(before + offsetMs);
  expect(time).toBeLessThanOrEqual(after + offsetMs);
  return time;
}

/** How long before a session's end a running clock is read again and again until it is there. */
const APPROACH_MS = 200;

/** Expects the only session there is to live until `expiresAt` and, in that very millisecond, not to any more. */
export async function expectEndsAt(
  harness: StoreHarness,
  store: SessionStore,
  sessid: number,
  expiresAt: number,
): Promise<void> {
  if (harness.isClockStill) {
    await harness.advance(expiresAt - 1 - (await harness.now()));
    expect(await get(store, sessid)).not.toBeNull();
    expect((await count(store))[0]).toBe(1);
    await harness.advance(1);
  } else {
    await harness.advance(expiresAt - APPROACH_MS - (await harness.now()));
    for (let before = 0; (await get(store, sessid)) !== null; before = await harness.now()) {
      expect(before).toBeLessThan(expiresAt);
    }
    expect(await harness.now()).toBeGreaterThanOrEqual(expiresAt);
  }
  expect(await check(store, sessid)).toBe(Status.NotFound);
  expect(await count(store)).toEqual([0, 0]);
}
