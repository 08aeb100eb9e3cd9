import { describe, expect, it } from "vitest";
import { Status, statusName, statusOf } from "../../protocol/status-codes.ts";

/** docs/wire-protocol.md, "Service packets". */
const TABLE = [
  [0, "Ok"],
  [1, "NotFound"],
  [2, "Denied"],
  [3, "Conflict"],
  [4, "Invalid"],
  [5, "Unavailable"],
  [6, "TooMany"],
] as const;

describe("statuses", () => {
  it.each(TABLE)("%i is %s", (value, name) => {
    expect(Status[name]).toBe(value);
    expect(statusOf(value)).toBe(value);
    expect(statusName(value)).toBe(name);
  });

  it.each([-128, -1, 7, 127])("have no name for %i", (value) => {
    expect(statusOf(value)).toBeUndefined();
  });

  it("have no other names", () => {
    expect(Object.keys(Status)).toHaveLength(TABLE.length);
  });
});
