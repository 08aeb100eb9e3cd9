import { expect, it } from "vitest";
import { FailureWindow } from "../../tcp-bridge/core/failure-window.ts";

const MINUTE_MS = 60_000;

it("forgets after a minute from the first failure", () => {
  const window = new FailureWindow(2);
  const startMs = 1_000_000;
  window.count(1, startMs);
  window.count(1, startMs + MINUTE_MS - 1);
  expect(window.allowance(startMs + MINUTE_MS - 1)).toBe(0);
  expect(window.allowance(startMs + MINUTE_MS)).toBe(2);
  window.count(1, startMs + MINUTE_MS);
  expect(window.allowance(startMs + 2 * MINUTE_MS - 1)).toBe(1);
  expect(window.failures(startMs + 2 * MINUTE_MS - 1)).toBe(1);
  expect(window.allowance(startMs + 2 * MINUTE_MS)).toBe(2);
});
