import { describe, expect, test } from "vitest";
import { firstExpiry, type SessionPolicy } from "../../../worker/session-store/session-lifetime.ts";
import { touchIsDue } from "../../../worker/session-store/stored-session.ts";

const policy: SessionPolicy = {
  idleMs: 1_000,
  maxMs: 10_000,
  touchIntervalMs: 60,
  maxSessionsPerUser: 0,
  limitPolicy: "reject",
};
const times = { createdAt: 0, touchedAt: 5_000, expiresAt: 6_000, idleMs: 1_000 };

describe("touchIsDue", () => {
  test.each([
    ["before the touch interval has passed", 5_059, policy, false],
    ["when the touch interval has passed", 5_060, policy, true],
    ["before a tenth of the idle lifetime has passed", 5_099, { ...policy, touchIntervalMs: 1_000 }, false],
    ["when a tenth of the idle lifetime has passed", 5_100, { ...policy, touchIntervalMs: 1_000 }, true],
    ["when the expiry cannot move any more", 5_500, { ...policy, maxMs: 6_000 }, false],
    ["when the expiry can move up to the absolute lifetime", 5_500, { ...policy, maxMs: 6_001 }, true],
  ])("%s", (_, now, policyThen, isDue) => {
    expect(touchIsDue(times, now, policyThen)).toBe(isDue);
  });
});

test("a session never expires after its absolute lifetime", () => {
  expect(firstExpiry(7, 1_000, policy)).toBe(1_007);
  expect(firstExpiry(7, 20_000, policy)).toBe(10_007);
});
