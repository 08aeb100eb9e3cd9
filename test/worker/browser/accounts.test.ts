import { describe, expect, it } from "vitest";
import { accountName, accountOfUser, isAllowedPassword, userOfAccount } from "../../../worker/browser/accounts.ts";

describe("an account's name", () => {
  it.each([
    ["kim", "kim"],
    ["  Kim  ", "kim"],
    ["ＫＩＭ", "kim"],
    ["k", "k"],
    ["김철수", "김철수"],
    ["김철수".normalize("NFD"), "김철수"],
    ["a.b_c-9", "a.b_c-9"],
    ["x".repeat(32), "x".repeat(32)],
  ])("is for %j %j", (typed, name) => {
    expect(accountName(typed)).toBe(name);
  });

  it.each([
    "",
    " ",
    "x".repeat(33),
    "x".repeat(10_000),
    "ﷺ".repeat(32),
    "𠀀".repeat(32),
    "-kim",
    ".kim",
    "two words",
    "a/b",
    "<b>kim</b>",
    "kim' OR '1'='1",
    "kim;--",
    "kim\u0000",
    "web:kim",
    "\u202Ekim",
  ])("cannot be %j", (typed) => {
    expect(accountName(typed)).toBeUndefined();
  });

  it("is mapped to a session's user and back", () => {
    expect(userOfAccount("kim")).toBe("web:kim");
    expect(accountOfUser("web:kim")).toBe("kim");
    expect(accountOfUser("kim")).toBeUndefined();
  });
});

it("an account's password has any 8 to 256 characters", () => {
  expect(["1234567", "12345678", "x".repeat(256), "x".repeat(257)].map(isAllowedPassword)).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
