import { describe, expect, it } from "vitest";
import { returnInQuery, safeReturn } from "../../../../worker/browser/pages/login.tsx";

describe("the page after a login", () => {
  it.each([
    ["/me", "/me"],
    ["/shop/a%20b?c=d&e=/f", "/shop/a%20b?c=d&e=/f"],
    ["/rooms/lobby#end", "/rooms/lobby"],
    ["/a/../b", "/b"],
    ["https://shop.example/cart?x=1", "/cart?x=1"],
    ["http://shop.example/", "/"],
    ["/%2Fevil.example", "/%2Fevil.example"],
    ["/?u=https://evil.example", "/?u=https://evil.example"],
  ])("for %j is %j", (wanted, path) => {
    expect(safeReturn(wanted, "shop.example")).toBe(path);
  });

  it.each([
    "",
    "me",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/.//evil.example",
    "/a/..//evil.example",
    "https://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "https:\\\\evil.example",
    "https://shop.example@evil.example/",
    "https://shop.example.evil.example/",
    "https://shop.example:444/",
    "HTTPS://evil.example",
    "javascript:alert(1)",
    "data:text/html,hi",
    `/${"x".repeat(2048)}`,
    "/login",
    "/login/?return=/login",
    "/logout",
    "/x/../signup",
  ])("for %j is the main page", (wanted) => {
    expect(safeReturn(wanted, "shop.example")).toBe("/");
  });
});

describe("the return of a login page's query", () => {
  it.each([
    ["https://e.test/login", ""],
    ["https://e.test/login?return=%2Fme%3Fa%3Db%26c&x=y", "/me?a=b&c"],
    ["https://e.test/login?x=y&return=/shop?a=%2F&b=c", "/shop?a=%2F&b=c"],
    ["https://e.test/login?return=https%3A%2F%2Fe.test%2Fcart&x=y", "https://e.test/cart"],
  ])("is in %s %j", (url, wanted) => {
    expect(returnInQuery(url)).toBe(wanted);
  });
});
