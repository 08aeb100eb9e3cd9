import { describe, expect, it } from "vitest";
import { DEFAULT_GRANTS, grantsAllow } from "../../protocol/session-request.ts";

describe("grants", () => {
  it.each([
    [["*"], "room:lobby", true],
    [["*"], "", true],
    [["room:lobby"], "room:lobby", true],
    [["room:lobby"], "room:lobby2", false],
    [["room:*"], "room:lobby", true],
    [["room:*"], "room:", true],
    [["room:*"], "room", false],
    [["room:*"], "/admin", false],
    [["a*b"], "a*b", true],
    [["a*b"], "aXb", false],
    [["/a", "/b/*"], "/b/c", true],
    [["Room:lobby"], "room:lobby", false],
    [[], "room:lobby", false],
    [[""], "room:lobby", false],
  ] as const)("%j on %j: %j", (grants, resource, allowed) => {
    expect(grantsAllow(grants, resource)).toBe(allowed);
  });

  it("allow every resource by default", () => {
    expect(grantsAllow(DEFAULT_GRANTS, "anything")).toBe(true);
  });
});
