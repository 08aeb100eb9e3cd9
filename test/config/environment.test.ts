import * as v from "valibot";
import { describe, expect, test } from "vitest";
import {
  flag,
  Host,
  List,
  parseEnvironment,
  parseWholeNumber,
  port,
  renamingWarnings,
  wholeNumber,
  withoutEmpty,
} from "../../config/environment.ts";

const Variables = v.object({
  NEEDED: v.picklist(["a", "b"], 'allowed is "a" or "b"'),
  SIZE: wholeNumber(1, 100, 10),
  PORT: port(7000),
  HOST: v.optional(Host, "127.0.0.1"),
  IS_OPEN: flag(),
  NAMES: v.optional(List, ""),
});

function messageOf(environment: object): string {
  try {
    parseEnvironment(Variables, environment);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "accepted";
}

describe("parseEnvironment", () => {
  test("gives values and defaults their types, and ignores variables that the schema does not name", () => {
    expect(parseEnvironment(Variables, { NEEDED: "a", SIZE: "7", NAMES: " x, y ,", HOME: "/root" })).toEqual({
      NEEDED: "a",
      SIZE: 7,
      PORT: 7000,
      HOST: "127.0.0.1",
      IS_OPEN: false,
      NAMES: ["x", "y"],
    });
  });

  test("names each variable that is wrong, once, with what is allowed and without its value", () => {
    expect(
      messageOf({ NEEDED: "hunter2", SIZE: "hunter2", PORT: "hunter2", HOST: "hunter2 x", IS_OPEN: "hunter2" }),
    ).toBe(
      [
        'NEEDED: allowed is "a" or "b"',
        "SIZE: allowed is a whole number, 1..100",
        "PORT: allowed is a port, 0..65535 (0: any free one)",
        "HOST: allowed is a host name or an IP address",
        "IS_OPEN: allowed is 0 or 1",
      ].join("; "),
    );
  });

  test("names a variable that is missing", () => {
    expect(messageOf({})).toBe("NEEDED: needed");
  });
});

describe("a whole number", () => {
  test.each([
    ["1", 1],
    ["100", 100],
    ["007", 7],
  ])("may be %j", (text, value) => {
    expect(parseWholeNumber(text, 1, 100)).toBe(value);
  });

  test.each(["", "0", "101", "-1", "1.5", "1e1", " 7", "7 ", "0x7", "7n", "seven", "1".repeat(16)])(
    "from 1 to 100 may not be %j",
    (text) => {
      expect(parseWholeNumber(text, 1, 100)).toBeUndefined();
    },
  );

  test("is never minus zero", () => {
    expect(parseWholeNumber("-0", 0, 100)).toBeUndefined();
    expect(parseWholeNumber("-10", -100, 100)).toBe(-10);
  });

  test("may be a number, as wrangler.toml has them", () => {
    expect(parseEnvironment(Variables, { NEEDED: "a", SIZE: 7 }).SIZE).toBe(7);
    expect(messageOf({ NEEDED: "a", SIZE: 1.5 })).toMatch(/^SIZE: /);
  });
});

test("an environment without the empty variables has the others, without the spaces around them", () => {
  expect(withoutEmpty({ A: "", B: "  ", C: undefined, D: " d " })).toEqual({ D: "d" });
});

describe("a renamed variable", () => {
  const renamed = { OLD: "NEW" };

  const Renamed = v.object({ NEW: wholeNumber(1, 9, 5) });

  test("has the value of its old name, unless it has one of its own", () => {
    expect(parseEnvironment(Renamed, { OLD: "1" }, renamed)).toEqual({ NEW: 1 });
    expect(parseEnvironment(Renamed, { OLD: "1", NEW: "2" }, renamed)).toEqual({ NEW: 2 });
    expect(parseEnvironment(Renamed, {}, renamed)).toEqual({ NEW: 5 });
  });

  test("is refused by the name that was set", () => {
    const parse = (environment: object) => () => parseEnvironment(Renamed, environment, renamed);
    expect(parse({ OLD: "x" })).toThrow("OLD (now NEW): allowed is a whole number, 1..9");
    expect(parse({ OLD: "1", NEW: "x" })).toThrow(/^NEW: allowed is a whole number, 1..9$/);
  });

  test("gives a warning when it is set by its old name", () => {
    expect(renamingWarnings({ OLD: "1" }, renamed)).toEqual([
      "OLD is called NEW now; version 1.0.0 will not know the old name",
    ]);
    expect(renamingWarnings({ NEW: "1" }, renamed)).toEqual([]);
  });
});
