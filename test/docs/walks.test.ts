import { describe, expect, test } from "vitest";
import { listedFiles, WALKS, withoutRedisRest } from "../support/walk-lists.ts";

describe.each(WALKS)("the walk of $name", (walk) => {
  test("lists each file once", () => {
    const files = listedFiles(walk.name);
    expect(files.length).toBeGreaterThan(0);
    expect(new Set(files).size).toBe(files.length);
  });

  test("is not longer than its goal", () => {
    const files = listedFiles(walk.name);
    expect(withoutRedisRest(files).length).toBeLessThanOrEqual(walk.goal);
    if ("goalWithRedisRest" in walk) expect(files.length).toBeLessThanOrEqual(walk.goalWithRedisRest);
  });
});
