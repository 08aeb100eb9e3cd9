import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatToken, makeToken, parseToken, splitToken } from "../../protocol/session-token.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { askRaw, type RawRequest, type RawResponse } from "../support/peers/raw-http.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

/** `/v1/check` has the same rules at the edge and at the check port of a bridge: this is the one suite for both. */
const PLACES = [
  { place: "the edge", from: { lookup: /^store$/, none: "edge" }, keepsOpen: false },
  { place: "the check port", from: { lookup: /^(?:lease|store)$/, none: "bridge" }, keepsOpen: false },
  // The check port reads most requests on connections that stay open itself, the others with node:http.
  {
    place: "the check port, on a connection that stays",
    from: { lookup: /^(?:lease|store)$/, none: "bridge" },
    keepsOpen: true,
  },
] as const;

const GRANTS = ["/shop/*", "/ü", "room:lobby"];

/** Headers that concern the connection and not the response. */
const FRAMING = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

let stack: RunningStack;
let session: { readonly sessid: number; readonly token: string };
/** Tokens of which no session is: ended, another secret, an unknown number. */
let strangers: readonly string[];
let anonymous: string;

beforeAll(async () => {
  stack = await startStackOn("embedded");
  session = await issue("lee 아서");
  const ended = await issue("kim");
  await askAsService(stack, "DELETE", `/v1/sessions/${ended.sessid}`);
  const { sessid } = splitToken(parseToken(session.token) ?? new Uint8Array(20));
  const forged = [makeToken(sessid, new Uint8Array(16)), makeToken(1, new Uint8Array(16))];
  strangers = [ended.token, ...forged.map(formatToken)];
  const visitor = new CookieClient(stack.edgeUrl);
  await visitor.open("/login");
  anonymous = visitor.cookie ?? "";
});

afterAll(() => stack?.close());

async function issue(user: string): Promise<{ readonly sessid: number; readonly token: string }> {
  const response = await askAsService(stack, "POST", "/v1/sessions", { user, grants: GRANTS });
  return (await response.json()) as { sessid: number; token: string };
}

function urlOf(place: (typeof PLACES)[number]["place"]): string {
  return place === "the edge" ? stack.edgeUrl : stack.checkUrl;
}

/** A header of a response, undefined without one. */
function header({ headers }: RawResponse, name: string): string | undefined {
  return headers.find(([other]) => other === name)?.[1];
}

describe.each(PLACES)("/v1/check of $place", ({ place, from, keepsOpen }) => {
  const ask = (request: RawRequest) => askRaw(urlOf(place), { keepsOpen, ...request });
  const askAs = (token: string, lines: readonly string[] = [], request: RawRequest = {}) =>
    ask({ ...request, lines: [`Authorization: Bearer ${token}`, ...lines] });

  test.each(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PATCH", "TRACE", "QUERY"])(
    "allows with %s and names the session and the user",
    async (method) => {
      const response = await askAs(session.token, method === "POST" ? ["Content-Length: 0"] : [], { method });
      expect([response.status, response.body]).toEqual([200, ""]);
      expect(header(response, "x-session-id")).toBe(String(session.sessid));
      expect(header(response, "x-session-user")).toBe(encodeURIComponent("lee 아서"));
      expect(header(response, "x-check-source")).toMatch(from.lookup);
      expect(header(response, "age")).toBe("0");
      expect(header(response, "cache-control")).toBe("no-store");
      expect(header(response, "x-content-type-options")).toBe("nosniff");
    },
  );

  test("answers 401 as a problem document to a request without a token, and says that no session was looked up", async () => {
    const response = await ask({});
    expect(JSON.parse(response.body)).toEqual({
      type: "about:blank",
      title: "No valid credential",
      status: 401,
      code: "unauthenticated",
      detail: "a valid session token is needed",
    });
    expect(response.status).toBe(401);
    expect(header(response, "content-type")).toBe("application/problem+json");
    expect(header(response, "www-authenticate")).toBe('Bearer realm="artoria"');
    expect(header(response, "content-security-policy")).toContain("frame-ancestors 'none'");
    expect(header(response, "x-check-source")).toBe(from.none);
    expect(header(response, "x-session-id")).toBeUndefined();
  });

  test("answers 401 to the token of no session, as the store says it", async () => {
    for (const token of strangers) {
      const response = await askAs(token);
      expect([response.status, header(response, "x-check-source")]).toEqual([401, "store"]);
    }
  });

  test("answers 401 to an anonymous session, also where it lacks the grant", async () => {
    expect((await ask({ lines: [`Cookie: __Host-sid=${anonymous}`] })).status).toBe(401);
    expect((await ask({ target: "/v1/check?resource=/x", lines: [`Cookie: __Host-sid=${anonymous}`] })).status).toBe(
      401,
    );
  });

  test("takes the token from the cookie if the Authorization is none, and from neither if one came twice", async () => {
    const cookie = `Cookie: a=b; __Host-sid=${session.token}`;
    const bearer = `Authorization: Bearer ${session.token}`;
    const status = async (...lines: string[]) => (await ask({ lines })).status;
    expect(await status(cookie, "Authorization: Basic a2ltOnB3")).toBe(200);
    expect(await status(`${cookie}; __Host-sid=${session.token}`)).toBe(401);
    expect(await status("Cookie: a=b", `Cookie: __Host-sid=${session.token}`)).toBe(401);
    expect(await status(bearer, bearer)).toBe(401);
    expect(await status(bearer, "Authorization: Basic a2ltOnB3", cookie)).toBe(200);
  });

  test.each([
    ["a name", "/v1/check?resource=room%3Alobby", [], 200],
    ["another name", "/v1/check?resource=room%3Aattic", [], 403],
    ["a path", "/v1/check", ["X-Original-URI: /shop/cart?a=b"], 200],
    ["another path", "/v1/check", ["X-Forwarded-Uri: /admin"], 403],
    ["dot segments", "/v1/check", ["X-Original-URI: /shop/../admin"], 403],
    ["a path of UTF-8 as it is", "/v1/check", ["X-Original-URI: /\xc3\xbc"], 200],
    ["a path of ISO 8859-1", "/v1/check", ["X-Original-URI: /\xfc"], 403],
    ["an empty URI, which is /", "/v1/check", ["X-Original-URI:"], 403],
    ["two of them", "/v1/check", ["X-Original-URI: /shop/", "X-Forwarded-Uri: /shop/"], 403],
    ["the same one twice", "/v1/check", ["X-Original-URI: /shop/", "x-original-uri: /shop/"], 403],
    ["one that is too long", `/v1/check?resource=${"a".repeat(513)}`, [], 403],
  ] as const)("compares the grants with %s", async (_, target, lines, status) => {
    expect((await askAs(session.token, lines, { target })).status).toBe(status);
  });

  test("refuses every path below it, whoever asks", async () => {
    for (const target of [
      "/v1/check/",
      "/v1/check/shop",
      "/v1/check//",
      "/v1/%63heck/x",
      "/v1/check/%zz",
      "/v1/check/..",
    ]) {
      for (const lines of [[], [`Authorization: Bearer ${session.token}`]]) {
        const response = await ask({ target, lines });
        expect([target, response.status, header(response, "x-check-source")]).toEqual([target, 403, from.none]);
      }
    }
  });

  test("is no other path, however it is spelt", async () => {
    const targets = [
      "//v1/check",
      "/v1//check",
      "/v1/./check",
      "/x/../v1/check",
      "/v1%2fcheck",
      "/v1/check;x",
      "/v1/%2563heck",
    ];
    for (const target of targets)
      expect([target, (await askAs(session.token, [], { target })).status]).toEqual([target, 404]);
    for (const target of ["/v1/%63heck", "http://x/v1/check", "/v1/check?", "/v1/check#/x"]) {
      expect([target, (await askAs(session.token, [], { target })).status]).toEqual([target, 200]);
    }
  });

  test("ignores a body, and upgrades to nothing", async () => {
    const post = { method: "POST", body: "__Host-sid" };
    expect((await askAs(session.token, ["Content-Length: 10"], post)).status).toBe(200);
    const chunked = { method: "POST", body: "3\r\nabc\r\n0\r\n\r\n" };
    expect((await askAs(session.token, ["Transfer-Encoding: chunked"], chunked)).status).toBe(200);
    expect((await askAs(session.token, ["Expect: 100-continue", "Content-Length: 10"], post)).status).toBe(200);
    expect((await askAs(session.token, ["Expect: more", "Content-Length: 10"], post)).status).toBe(200);
    for (const protocol of ["websocket", "h2c"]) {
      const response = await askAs(session.token, [`Upgrade: ${protocol}`, "Connection: Upgrade"]);
      expect([protocol, response.status]).toEqual([protocol, 200]);
    }
  });

  test("answers 401 once the delete of the session has been answered", async () => {
    const { sessid, token } = await issue("mia");
    for (let round = 0; round < 3; round++) expect((await askAs(token)).status).toBe(200);
    await askAsService(stack, "DELETE", `/v1/sessions/${sessid}`);
    expect((await askAs(token)).status).toBe(401);
  });
});

describe("the check port, once the bridge knows a session", () => {
  const ask = (token: string, lines: readonly string[] = []) =>
    askRaw(stack.checkUrl, { lines: [`Authorization: Bearer ${token}`, ...lines] });
  const asked = async (token: string, lines: readonly string[] = []) => {
    const response = await ask(token, lines);
    return [response.status, header(response, "x-check-source")];
  };

  test("answers from its memory, for each resource that the grants allow; what they do not allow, the store says", async () => {
    const { token } = await issue("ann");
    await until(async () => header(await ask(token), "x-check-source") === "lease");
    expect(await asked(token, ["X-Original-URI: /shop/cart"])).toEqual([200, "lease"]);
    expect(await asked(token, ["X-Original-URI: /\xc3\xbc", "Cache-Control: no-cache"])).toEqual([200, "lease"]);
    expect(await asked(token, ["X-Original-URI: /admin"])).toEqual([403, "store"]);
    expect(await asked(token)).toEqual([200, "lease"]);
  });

  test("does not know it by its number: another secret gets the store's 401", async () => {
    const { sessid, token } = await issue("ben");
    await until(async () => header(await ask(token), "x-check-source") === "lease");
    expect(await asked(formatToken(makeToken(sessid, new Uint8Array(16))))).toEqual([401, "store"]);
    expect(await asked(token)).toEqual([200, "lease"]);
  });

  test("answers 401 as soon as the session's end has been answered, whatever ended it", async () => {
    const ends: ((session: { sessid: number; token: string; user: string }) => Promise<Response>)[] = [
      ({ sessid }) => askAsService(stack, "DELETE", `/v1/sessions/${sessid}`),
      ({ user }) => askAsService(stack, "DELETE", `/v1/users/${user}/sessions`),
      ({ sessid, user }) => askAsService(stack, "POST", "/v1/sessions", { sessid, user }),
      ({ token }) =>
        fetch(`${stack.edgeUrl}/v1/session`, { method: "DELETE", headers: { Authorization: `Bearer ${token}` } }),
    ];
    for (const [index, end] of ends.entries()) {
      const user = `user-${index}`;
      const { sessid, token } = await issue(user);
      await until(async () => header(await ask(token), "x-check-source") === "lease");
      expect((await end({ sessid, token, user })).ok).toBe(true);
      expect(await asked(token)).toEqual([401, "store"]);
    }
  });
});

/** The response without what may differ: the framing, and where it comes from. */
function comparable(response: RawResponse): unknown {
  const headers = response.headers
    .filter(([name]) => !FRAMING.includes(name))
    .map(([name, value]) => [name, name === "x-check-source" ? sourceClass(value) : value])
    .sort();
  return { status: response.status, headers, body: response.body };
}

function sourceClass(source: string): string {
  return source === "edge" || source === "bridge" ? "no lookup" : "lookup";
}

/** Texts made of what is easily read in two ways. */
function tricky(characters: string): fc.Arbitrary<string> {
  return fc
    .array(fc.constantFrom(...characters, "/shop/", "/admin", "..", "%2e", "%252f"), { maxLength: 8 })
    .map((parts) => parts.join(""));
}

const uri = fc
  .oneof(fc.constantFrom("/shop/cart", "/ü", "https://a/shop/x?b"), tricky("/.;%\\?#+, \t2fFeE5cC&=*~\xc3\xbc\xff@:"))
  .map((text) => text.trim());

const cookieValue = () => fc.constantFrom(session.token, ...strangers, anonymous, "", "x", `"${session.token}"`);

function requests(): fc.Arbitrary<RawRequest> {
  const token = fc.oneof({ weight: 4, arbitrary: fc.constant(session.token) }, cookieValue());
  const scheme = fc.constantFrom("Bearer ", "Bearer ", "bearer  ", "Basic ", "");
  const authorization = fc.tuple(scheme, token).map(([name, text]) => `Authorization: ${name}${text}`);
  const pair = fc.tuple(fc.constantFrom("__Host-sid", "__Host-sid", "sid", "__host-sid"), token);
  const cookie = fc
    .tuple(fc.array(pair, { minLength: 1, maxLength: 3 }), fc.constantFrom("; ", ";", ", "))
    .map(([pairs, separator]) => `Cookie: ${pairs.map((both) => both.join("=")).join(separator)}`);
  const named = fc.tuple(
    fc.constantFrom("X-Original-URI", "x-forwarded-uri", "X-Forwarded-Uri", "X_Original_URI"),
    uri,
  );
  const resource = named.map(([name, text]) => `${name}: ${text}`);
  const line = fc.oneof(
    authorization,
    authorization,
    cookie,
    resource,
    fc.constantFrom("Cache-Control: no-cache", "X-A: \xe9"),
  );
  const path = fc.constantFrom(
    "/v1/check",
    "/v1/check",
    "/v1/check",
    "/v1/%63heck",
    "/v1/check/",
    "/v1/check/..",
    "http://a/v1/check",
  );
  const query = fc.oneof(
    fc.constant(""),
    fc
      .constantFrom("?resource=", "?a=b&resource=", "?resource=/shop/&resource=")
      .chain((start) => tricky("/.;%?+2fFeE5cC&=*~@:").map((text) => start + text)),
  );
  const method = fc.constantFrom("GET", "GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND");
  const lines = fc
    .tuple(fc.oneof(authorization, cookie), fc.array(line, { maxLength: 3 }))
    .map(([first, more]) => [first, ...more]);
  return fc
    .tuple(method, path, query, lines)
    .map(([verb, target, search, headers]) => ({ method: verb, target: target + search, lines: headers }));
}

test("any request gets the same status, headers and body at the edge and at the check port", async () => {
  const seen = new Map<number, number>();
  const property = fc.asyncProperty(requests(), async (request) => {
    const [edge, ...bridge] = await Promise.all([
      askRaw(stack.edgeUrl, request),
      askRaw(stack.checkUrl, request),
      askRaw(stack.checkUrl, { ...request, keepsOpen: true }),
    ]);
    seen.set(edge.status, (seen.get(edge.status) ?? 0) + 1);
    for (const response of bridge) expect(comparable(response)).toEqual(comparable(edge));
  });
  await fc.assert(property, { numRuns: 300 });
  // Otherwise the requests would show little.
  for (const status of [200, 401, 403]) expect(seen.get(status) ?? 0).toBeGreaterThan(10);
});
