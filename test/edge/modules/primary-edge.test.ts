import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { answerOrPass, isEveryPacketRead } from "../../../edge/modules/primary-edge.ts";
import { app } from "../../../worker/app.ts";

const KEY = "a-services-key-for-this-test-alone-01";
const PRIMARY = { url: "https://primary.test:8787", apiKeys: ["another key", KEY] };
const HOST = "edge.test";

/** Packets as latin1; the payload does not matter here. */
const CHECK = packet(1, 4);
const REGISTER = packet(3, 12);
const DELETE = packet(5, 12);
const COUNT = packet(7, 0);
const ISSUE = packet(9, 8);
const CHECK_ACCESS = packet(11, 9);
const IDENTIFY = packet(13, 22);

/** What has reached the primary, which answers 299. */
let passed: { readonly url: string; readonly init: RequestInit & { headers: Headers } }[];
/** A body that was answered here, as it was read. */
let readHere: string | undefined;

beforeEach(() => {
  passed = [];
  readHere = undefined;
  vi.stubGlobal("fetch", async (url: string, init: RequestInit & { headers: Headers }) => {
    passed.push({ url, init });
    return new Response(null, { status: 299 });
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe("an edge with a primary answers itself", () => {
  test.each([
    ["GET", "/v1/check"],
    ["POST", "/v1/check?resource=/x"],
    ["DELETE", "/v1/check"],
    ["GET", "/v1/check/below"],
    ["GET", "/healthz"],
    ["HEAD", "/readyz"],
    ["GET", "/docs"],
    ["GET", "/openapi.json"],
    ["GET", "/artoria/chat-page.js"],
    ["GET", "/v1/count"],
    ["GET", "/v1/session"],
    ["GET", "/v1/sessions/7"],
    ["GET", "/v1/users/kim/sessions"],
    ["POST", "/v1/sessions/check"],
    ["POST", "/v1/sessions/identify"],
  ])("%s %s", async (method, path) => {
    expect(await ask(method, path)).toBe("here");
  });

  test("a batch that only reads, with its body as it came", async () => {
    const batch = [CHECK, COUNT, IDENTIFY, CHECK_ACCESS].join("");
    expect(await ask("POST", "/v1/packets", batch)).toBe("here");
    expect(readHere).toBe(batch);
  });

  test("a batch without a right key, which is refused unread", async () => {
    for (const authorization of ["", "Bearer", "Bearer ", "Bearer wrong", KEY, `Basic ${KEY}`]) {
      expect(await ask("POST", "/v1/packets", DELETE, { Authorization: authorization })).toBe("here");
    }
  });
});

describe("an edge with a primary passes on", () => {
  test.each([
    ["GET", "/"],
    ["GET", "/login"],
    ["POST", "/login"],
    ["GET", "/console"],
    ["GET", "/rooms/lobby"],
    ["GET", "/v1/leases"],
    ["GET", "/v1/events"],
    ["GET", "/v1/rooms/lobby"],
    ["GET", "/v1/accounts"],
    ["POST", "/v1/sessions"],
    ["PUT", "/v1/sessions/7"],
    ["DELETE", "/v1/sessions/7"],
    ["DELETE", "/v1/session"],
    ["DELETE", "/v1/users/kim/sessions"],
    ["POST", "/v1/count"],
    ["PUT", "/v1/packets"],
    ["GET", "/v1/packets"],
    ["GET", "/v1/sessions/7/more"],
    ["POST", "/v1/sessions/check/"],
    ["GET", "//v1/sessions/7"],
    ["GET", "/no/such?route"],
  ])("%s %s", async (method, path) => {
    expect(await ask(method, path)).toBe(299);
    expect(passed.map(({ url, init }) => [init.method, url])).toEqual([[method, PRIMARY.url + path]]);
  });

  test("every route of the worker that is not named among what it answers", async () => {
    const routes = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`);
    const here: string[] = [];
    for (const route of new Set(routes)) {
      const [method = "", path = ""] = route.split(" ");
      if ((await ask(method, path.replace(/:file\{.*/, "x.js"))) === "here") here.push(route.replace(/\{.*/, ""));
    }
    expect(here.toSorted()).toEqual([
      "GET /artoria/:file",
      "GET /docs",
      "GET /healthz",
      "GET /openapi.json",
      "GET /readyz",
      "GET /v1/count",
      "GET /v1/session",
      "GET /v1/sessions/:sessid",
      "GET /v1/users/:user/sessions",
      // Without a key, as here, it is refused here.
      "POST /v1/packets",
      "POST /v1/sessions/check",
      "POST /v1/sessions/identify",
    ]);
  });

  test.each([
    ["a register", REGISTER],
    ["an issue", ISSUE],
    ["a delete", DELETE],
    ["a write behind reads", CHECK + CHECK + DELETE],
    ["a packet of an unknown type", packet(99)],
    ["a packet that is cut", CHECK + CHECK.slice(0, -1)],
    ["a packet that is shorter than its header", "\x03\x00\x01\x00"],
    ["half a header", `${CHECK}\x08`],
  ])("a batch with %s, whole", async (_, batch) => {
    expect(await ask("POST", "/v1/packets", batch)).toBe(299);
    expect(passed[0]?.url).toBe(`${PRIMARY.url}/v1/packets`);
    expect(await new Response(passed[0]?.init.body).text()).toBe(batch);
  });

  test.each([`bearer ${KEY}`, `BEARER ${KEY}`, `Bearer   ${KEY}`])(
    "a batch with a write whose key the worker accepts too: Authorization: %s",
    async (authorization) => {
      const accepted = await app.request(
        "/v1/packets",
        { method: "POST", headers: { Authorization: authorization } },
        { ...env, API_KEYS: KEY },
      );
      expect(accepted.status).toBe(400);
      expect(await ask("POST", "/v1/packets", DELETE, { Authorization: authorization })).toBe(299);
    },
  );

  test("a batch of a length that it does not know, unread", async () => {
    for (const length of ["", "-", "x"]) {
      expect(await ask("POST", "/v1/packets", CHECK, { "Content-Length": length })).toBe(299);
    }
    expect(readHere).toBeUndefined();
  });
});

describe("a body that is longer than any that the primary takes", () => {
  test.each([
    ["POST", "/v1/sessions"],
    ["POST", "/login"],
    ["PUT", "/nowhere"],
  ])("%s %s is refused here, because the primary's response may not arrive", async (method, path) => {
    expect(await ask(method, path, "{}", { "Content-Length": String(64 * 1024 + 1) })).toMatchObject({
      code: "too_large",
    });
    expect(await ask(method, path, "{}", { "Content-Length": String(64 * 1024) })).toBe(299);
  });

  test("a batch is left to the worker here, which refuses it unread", async () => {
    for (const length of ["524289", "1e9"]) {
      expect(await ask("POST", "/v1/packets", DELETE, { "Content-Length": length })).toBe("here");
    }
  });
});

describe("what the primary is told", () => {
  test("it gets who connected as the last of X-Forwarded-For, whatever a client has put there", async () => {
    await ask("GET", "/v1/rooms/lobby", null, { "X-Forwarded-For": "203.0.113.9, 10.0.0.1" });
    await ask("GET", "/v1/rooms/lobby");
    expect(passed.map(({ init }) => init.headers.get("X-Forwarded-For"))).toEqual([
      "203.0.113.9, 10.0.0.1, 192.0.2.1",
      "192.0.2.1",
    ]);
  });

  test("it gets the host that a browser requested, so that it accepts the browser's forms", async () => {
    await ask("POST", "/login", "x");
    await ask("POST", "/login", "x", { "X-Forwarded-Host": "artoria.example" });
    expect(passed.map(({ init }) => init.headers.get("X-Forwarded-Host"))).toEqual([HOST, "artoria.example"]);
  });

  test("a request that an edge has already passed on is refused: EDGE_PRIMARY_URL leads in a circle", async () => {
    await ask("GET", "/v1/rooms/lobby", null, { "CDN-Loop": "cloudflare; loops=1" });
    const [first] = passed;
    expect(first?.init.headers.get("CDN-Loop")).toBe("cloudflare; loops=1, artoria");
    for (const header of ["artoria", "Artoria", "cloudflare; loops=1, artoria", "artoria;v=1, x", ` artoria ,x`]) {
      expect(await ask("GET", "/v1/rooms/lobby", null, { "CDN-Loop": header })).toMatchObject({
        status: 503,
        code: "not_configured",
      });
    }
    expect(passed).toHaveLength(1);
    expect(await ask("GET", "/v1/check", null, { "CDN-Loop": "artoria" })).toBe("here");
  });

  test("no Host header leads to a path that was not requested", async () => {
    for (const host of ["x/v1/rooms/lobby?", "x/v1/sessions/7#", "x\\v1\\rooms?", "u@x/login?"]) {
      expect(await ask("GET", "/v1/check", null, { Host: host }, `http://${host}/v1/check`)).toMatchObject({
        status: 400,
        code: "invalid",
      });
    }
    expect(passed).toEqual([]);
  });
});

describe("while the primary is away", () => {
  test("what needs it is refused at once, and the rest is answered", async () => {
    vi.spyOn(console, "warn").mockReturnValue();
    vi.stubGlobal("fetch", () => Promise.reject(new Error("connection refused")));
    expect(await ask("GET", "/v1/rooms/lobby")).toMatchObject({ status: 503, code: "unavailable" });
    expect(await ask("POST", "/v1/packets", DELETE)).toMatchObject({ status: 503, code: "unavailable" });
    expect(await ask("GET", "/v1/check")).toBe("here");
    expect(await ask("POST", "/v1/packets", CHECK)).toBe("here");
  });
});

test("an empty batch reads nothing and writes nothing", () => {
  expect(isEveryPacketRead(new Uint8Array())).toBe(true);
});

function packet(type: number, payloadBytes = 0): string {
  return `${String.fromCharCode(4 + payloadBytes)}\0${String.fromCharCode(type)}\0${"\x01".repeat(payloadBytes)}`;
}

/**
 * What becomes of a request: "here", the status of the primary, or the problem that it is refused with.
 *
 * @param body of a batch, it comes with the key and its length, unless the headers say otherwise; an empty header is left out
 */
async function ask(
  method: string,
  path: string,
  body: string | null = null,
  more: Readonly<Record<string, string>> = {},
  url = `http://${HOST}${path}`,
): Promise<unknown> {
  const batch = path === "/v1/packets" && body !== null;
  const own = { Host: HOST, ...(batch && { Authorization: `Bearer ${KEY}`, "Content-Length": String(body.length) }) };
  const headers = Object.entries({ ...own, ...more }).filter(([, value]) => value !== "");
  const cf = { clientIp: "192.0.2.1:4711" } as unknown as CfProperties;
  const request = new Request(url, { method, headers, cf, body: method === "GET" ? null : body });
  const response = await answerOrPass(request, PRIMARY, async (asked) => {
    if (batch && asked !== request) readHere = await asked.text();
    return new Response(null, { status: 298 });
  });
  if (response.status === 298) return "here";
  return response.status === 299 ? 299 : response.json();
}
