import { expect, test } from "vitest";
import { PrimaryOffsets } from "../../../redis-rest/redis/replica-set.ts";

test("a replica is as fresh as the newest time whose offset it has reached", () => {
  const offsets = new PrimaryOffsets();
  offsets.record(1_000, 100);
  offsets.record(1_250, 100);
  offsets.record(1_500, 180);
  expect(offsets.freshAsOfMs(99)).toBe(Number.NEGATIVE_INFINITY);
  expect(offsets.freshAsOfMs(100)).toBe(1_250);
  expect(offsets.freshAsOfMs(179)).toBe(1_250);
  expect(offsets.freshAsOfMs(180)).toBe(1_500);
  expect(offsets.freshAsOfMs(10_000)).toBe(1_500);
});

test("no offset is fresh before the primary was asked", () => {
  const offsets = new PrimaryOffsets();
  expect(offsets.freshAsOfMs(1)).toBe(Number.NEGATIVE_INFINITY);
  expect(offsets.lagBytes(1)).toBe(0);
});

test("the lag in bytes counts from the last sample and is never negative", () => {
  const offsets = new PrimaryOffsets();
  offsets.record(1, 100);
  offsets.record(2, 150);
  expect([offsets.lagBytes(20), offsets.lagBytes(150), offsets.lagBytes(160)]).toEqual([130, 0, 0]);
});

test("after a failover to a shorter history the newest sample counts, not the largest offset", () => {
  const offsets = new PrimaryOffsets();
  offsets.record(1_000, 500);
  offsets.record(2_000, 400);
  expect(offsets.freshAsOfMs(400)).toBe(2_000);
  expect(offsets.freshAsOfMs(399)).toBe(Number.NEGATIVE_INFINITY);
});

test("a replica that is behind the whole bounded history is not fresh", () => {
  const offsets = new PrimaryOffsets();
  for (let at = 0; at < 1_000; at++) offsets.record(at, at);
  expect(offsets.freshAsOfMs(500)).toBe(Number.NEGATIVE_INFINITY);
  expect(offsets.freshAsOfMs(999)).toBe(999);
});
