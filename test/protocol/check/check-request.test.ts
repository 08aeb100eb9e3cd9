import { describe, expect, it } from "vitest";
import { type HeaderReader, readCheck } from "../../../protocol/check/check-request.ts";
import { formatToken, makeToken } from "../../../protocol/session-token.ts";

const TOKEN = makeToken(7, new Uint8Array(16).fill(9));
const TEXT = formatToken(TOKEN);
const OTHER = formatToken(makeToken(8, new Uint8Array(16).fill(9)));

/** A reader of headers; it finds them by any case of their names, as runtimes do. */
function reader(headers: Record<string, string>): HeaderReader {
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return (name) => byName.get(name.toLowerCase());
}

const ask = (path: string, headers: Record<string, string> = {}) =>
  readCheck(`https://edge.test${path}`, reader({ Authorization: `Bearer ${TEXT}`, ...headers }));

describe("the token of a check", () => {
  it.each([
    ["Bearer", { Authorization: `Bearer ${TEXT}` }],
    ["bearer in small letters, with spaces", { Authorization: `bearer   ${TEXT}  ` }],
    ["the cookie", { Cookie: `__Host-sid=${TEXT}` }],
    ["the cookie among others", { Cookie: `a=b; __Host-sid=${TEXT} ; x__Host-sid=1` }],
    ["the cookie beside another Authorization", { Authorization: "Basic a2ltOnB3", Cookie: `__Host-sid=${TEXT}` }],
    ["the cookie beside a Bearer that is no token", { Authorization: "Bearer x", Cookie: `__Host-sid=${TEXT}` }],
    ["the Bearer, whatever the cookie says", { Authorization: `Bearer ${TEXT}`, Cookie: `__Host-sid=${OTHER}` }],
  ])("is read from %s", (_, headers) => {
    expect(readCheck("/v1/check", reader(headers))).toEqual({ kind: "lookup", token: TOKEN, resource: "" });
  });

  it.each([
    ["there is none", {}],
    ["it is shorter", { Authorization: `Bearer ${TEXT.slice(1)}` }],
    ["it is longer", { Authorization: `Bearer ${TEXT}A` }],
    ["its last bits are not 0", { Authorization: `Bearer ${TEXT.slice(0, -1)}B` }],
    ["it has a character of plain base64", { Authorization: `Bearer +${TEXT.slice(1)}` }],
    ["the scheme is another", { Authorization: `Token ${TEXT}` }],
    ["the Authorization came twice", { Authorization: `Bearer ${TEXT}, Bearer ${TEXT}` }],
    ["the cookie came twice", { Cookie: `__Host-sid=${TEXT}; __Host-sid=${TEXT}` }],
    ["two lines of Cookie are joined by a comma", { Cookie: `a=b, __Host-sid=${TEXT}` }],
    ["the cookie's name has another case", { Cookie: `__host-sid=${TEXT}` }],
    ["the cookie's value is quoted", { Cookie: `__Host-sid="${TEXT}"` }],
  ])("is missing if %s", (_, headers) => {
    expect(readCheck("/v1/check?resource=a", reader(headers))).toMatchObject({ code: "unauthenticated" });
  });
});

describe("the resource of a check", () => {
  it.each([
    ["nothing named", "/v1/check", {}, undefined],
    ["the query", "/v1/check?resource=room%3Alobby", {}, "room:lobby"],
    ["nginx's header", "/v1/check", { "X-Original-URI": "/shop/%EC%95%84?a=1" }, "/shop/아"],
    ["a path in the query", "/v1/check?resource=/admin/a%20b", {}, "/admin/a b"],
    ["a per cent that is no encoding", "/v1/check", { "X-Original-URI": "/100%25/%25zz" }, "/100%/%zz"],
    ["what another name than a path holds", "/v1/check?resource=a%255c/..", {}, "a%5c/.."],
    ["Traefik's header", "/v1/check", { "X-Forwarded-Uri": "/shop?a=1" }, "/shop"],
    ["an absolute URI", "/v1/check", { "X-Forwarded-Uri": "https://shop.test/a?b" }, "/a"],
    ["an absolute URI without a path", "/v1/check", { "X-Forwarded-Uri": "https://shop.test" }, "/"],
    ["dots that are no segment", "/v1/check", { "X-Original-URI": "/..a/.b;c/..." }, "/..a/.b;c/..."],
    ["a space, an umlaut and plus signs", "/v1/check", { "X-Original-URI": "/a%20b/%C3%BC+%2B" }, "/a b/ü++"],
    [
      "a session id and dots at the end",
      "/v1/check",
      { "X-Original-URI": "/x;jsessionid=1A/dir./f." },
      "/x;jsessionid=1A/dir./f.",
    ],
    ["a doubled slash", "/v1/check", { "X-Original-URI": "//a//b/" }, "//a//b/"],
    ["whatever the site's query holds", "/v1/check", { "X-Original-URI": "/a?b=%252F&c=..%5C&resource=/d" }, "/a"],
    ["a comma in the path", "/v1/check", { "X-Original-URI": "/a,b" }, "/a,b"],
  ])("reads %s", (_, path, headers, name) => {
    expect(ask(path, headers)).toEqual({ kind: "lookup", token: TOKEN, resource: name ?? "" });
  });

  it.each([
    ["a header and the query", "/v1/check?resource=a", { "X-Original-URI": "/b" }],
    ["both headers", "/v1/check", { "X-Original-URI": "/a", "X-Forwarded-Uri": "/a" }],
    ["the query twice", "/v1/check?resource=a&resource=a", {}],
    ["a header sent twice", "/v1/check", { "X-Forwarded-Uri": "/public, /admin" }],
    ["dot segments", "/v1/check", { "X-Original-URI": "/public/../admin" }],
    ["encoded dot segments", "/v1/check", { "X-Original-URI": "/public/%2e%2e/admin" }],
    ["dot segments with a parameter", "/v1/check", { "X-Original-URI": "/public/..;a=1/admin" }],
    ["an encoded slash", "/v1/check", { "X-Original-URI": "/public%2fadmin" }],
    ["dot segments encoded twice", "/v1/check", { "X-Original-URI": "/public/%252e%252e/admin" }],
    ["a slash encoded twice", "/v1/check", { "X-Forwarded-Uri": "/public/..%252Fadmin" }],
    ["anything encoded three times", "/v1/check", { "X-Original-URI": "/public/%25252e/admin" }],
    ["an encoded backslash", "/v1/check", { "X-Original-URI": "/public/..%5Cadmin" }],
    ["a tab among the dots", "/v1/check", { "X-Original-URI": "/public/.%09./admin" }],
    ["dot segments in the query's path", "/v1/check?resource=/public/../admin", {}],
    ["what is still encoded in the query's path", "/v1/check?resource=/public/%252e%252e/admin", {}],
    ["a backslash", "/v1/check", { "X-Original-URI": "/public\\..\\admin" }],
    ["bad percent encoding", "/v1/check", { "X-Original-URI": "/%zz" }],
    ["bad UTF-8", "/v1/check", { "X-Original-URI": "/%ff" }],
    ["no path at all", "/v1/check", { "X-Original-URI": "admin" }],
    ["513 bytes", `/v1/check?resource=${"a".repeat(513)}`, {}],
    ["an empty name", "/v1/check?resource=", {}],
    ["U+0000", "/v1/check?resource=a%00", {}],
  ])("refuses %s", (_, path, headers) => {
    expect(ask(path, headers)).toMatchObject({ kind: "refused", code: "denied" });
  });
});
