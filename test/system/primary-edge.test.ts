import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { buildEdge } from "../../dev/build-edge.ts";
import { freePort } from "../../dev/free-port.ts";
import { parseEdgeConfig } from "../../edge/config.ts";
import { type Edge, startEdge } from "../../edge/edge.ts";
import type { EdgeBuild } from "../../edge/edge-build.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { askRaw, type RawRequest } from "../support/peers/raw-http.ts";
import { StreamListener } from "../support/peers/stream-listener.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const KEY = "key-for-the-test-of-an-edge-with-a-primary";
const AS_SERVICE = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };

/** Long enough that no lease runs out on its own while a test looks. */
const BOUND_MS = "10000";

const stops: (() => Promise<unknown>)[] = [];
let build: EdgeBuild;
let variables: Readonly<Record<string, string>>;
let primary: Edge;
let secondary: Edge;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), "artoria-primary-"));
  stops.unshift(() => rm(directory, { recursive: true, force: true }));
  build = await buildEdge(join(directory, "build"));
  const redis = await startRedisServer();
  stops.unshift(() => redis.stop());
  const rest = await startTestRedisRest({ REDIS_URL: redis.url });
  stops.unshift(() => rest.close());
  variables = {
    ...{ API_KEYS: KEY, UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN },
    ...{ SIGNUP: "open", REVOCATION_BOUND_MS: BOUND_MS, FORM_TIMEOUT_SECONDS: "2", EDGE_DRAIN_MS: "0" },
    // The second edge connects from there; clients of these tests that must be told apart do not.
    ...{ TRUSTED_PROXIES: "127.0.0.1", EDGE_PORT: "0" },
  };
  primary = await start({ STATE_DIR: join(directory, "state") });
  secondary = await start({ EDGE_PRIMARY_URL: primary.url });
});
afterAll(async () => {
  for (const stop of stops) await stop();
});

describe("an edge with a primary", () => {
  test("makes an account, a page and a session by the primary, and recognises it itself", async () => {
    const browser = new CookieClient(secondary.url);
    expect((await browser.open("/signup")).status).toBe(200);
    expect((await browser.submit("/signup", { user: "kim", password: "correct horse battery" })).status).toBe(303);
    expect(await (await browser.open("/")).text()).toContain("Hello, kim");
    expect(
      (await new CookieClient(primary.url).submit("/login", { user: "kim", password: "correct horse battery" })).status,
    ).toBe(303);
    const check = await fetch(`${secondary.url}/v1/check`, { headers: { Cookie: `__Host-sid=${browser.cookie}` } });
    expect([check.status, check.headers.get("X-Check-Source")]).toEqual([200, "store"]);
  });

  test("refuses a form of another origin, as the primary does", async () => {
    const body = new URLSearchParams({ user: "kim", password: "correct horse battery" });
    const headers = { Origin: "https://evil.example" };
    expect((await fetch(`${secondary.url}/login`, { method: "POST", body, headers })).status).toBe(403);
  });

  test("brings a delete to a bridge, a room and a listener before it answers it, however long leases run", async () => {
    const { sessid, token } = await issue(secondary, "lee");
    const checkPort = await freePort();
    const bridge = await BridgeProgram.start({
      edgeUrl: secondary.url,
      variables: { API_KEY: KEY, CHECK_PORT: String(checkPort) },
    });
    const listener = await StreamListener.open(() => secondary.url, KEY);
    const connection = new ReliableConnection({
      transport: webSocketTransport({ edgeUrl: secondary.url, token: parseToken(token) ?? new Uint8Array() }),
      room: "lobby",
    });
    try {
      connection.connect();
      await until(async () => (await roomMembers()).includes("lee"));
      const ask = () =>
        fetch(`http://127.0.0.1:${checkPort}/v1/check`, { headers: { Authorization: `Bearer ${token}` } });
      await until(async () => (await ask()).headers.get("X-Check-Source") === "lease");

      const beforeMs = performance.now();
      const deleted = await fetch(`${secondary.url}/v1/sessions/${sessid}`, { method: "DELETE", headers: AS_SERVICE });
      const tookMs = performance.now() - beforeMs;
      expect([deleted.status, (await ask()).status]).toEqual([204, 401]);
      // A hub that nobody had told would have let it wait until the lease ran out.
      expect(tookMs).toBeLessThan(Number(BOUND_MS) / 2);
      await until(() => listener.events.some((event) => event.kind === "ended" && event.sessid === sessid));
      await until(async () => !(await roomMembers()).includes("lee"));
    } finally {
      connection.disconnect();
      await listener.close();
      await bridge.kill();
    }
  });

  test("lets the primary count wrong keys by who has sent them, whatever their headers say", async () => {
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 25; i++) {
      const forged = { "X-Forwarded-For": `203.0.113.${i}`, "CF-Connecting-IP": `203.0.113.${i}` };
      statuses.push(await askFrom("127.0.0.5", "/v1/rooms/lobby", { Authorization: "Bearer wrong", ...forged }));
    }
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(20)).toEqual(Array(5).fill(429));
    // Others who come by the same edge are not refused for it, and a right key never is.
    expect(await askFrom("127.0.0.6", "/v1/rooms/lobby", { Authorization: "Bearer wrong" })).toBe(401);
    expect(await askFrom("127.0.0.5", "/v1/rooms/lobby", { Authorization: `Bearer ${KEY}` })).toBe(200);
  });

  test.each<[what: string, request: RawRequest, status: number]>([
    ["two Hosts", { target: "/v1/count", lines: ["Host: other.test"] }, 400],
    ["no path", { method: "OPTIONS", target: "*" }, 404],
  ])("responds to a request with %s as its primary does", async (_, request, status) => {
    for (const { url } of [primary, secondary]) expect((await askRaw(url, request)).status).toBe(status);
  });

  test("passes a slow form on as it comes, so that the primary ends it, and answers others meanwhile", async () => {
    const { hostname, port } = new URL(secondary.url);
    const socket = connect(Number(port), hostname);
    socket.setEncoding("latin1");
    let response = "";
    socket.on("data", (text: string) => {
      response += text;
    });
    const type = "Content-Type: application/x-www-form-urlencoded";
    socket.write(
      `POST /login HTTP/1.1\r\nHost: ${hostname}:${port}\r\nOrigin: ${secondary.url}\r\n${type}\r\nContent-Length: 99\r\n\r\nuser=`,
    );
    expect((await fetch(`${secondary.url}/login`)).status).toBe(200);
    await until(() => response.startsWith("HTTP/1.1 408 "));
    socket.destroy();
  });

  test("whose primary has a primary itself says so, instead of asking in a circle", async () => {
    const third = await start({ EDGE_PRIMARY_URL: secondary.url });
    const response = await fetch(`${third.url}/v1/rooms/lobby`, { headers: AS_SERVICE });
    expect([response.status, await response.json()]).toMatchObject([
      503,
      { code: "not_configured", detail: expect.stringMatching(/^EDGE_PRIMARY_URL: /) },
    ]);
  });

  test("answers checks while the primary is away, refuses the rest at once, and goes on when it is back", async () => {
    const { sessid, token } = await issue(secondary, "lee");
    await primary.close();
    const check = await fetch(`${secondary.url}/v1/check`, { headers: { Authorization: `Bearer ${token}` } });
    expect(check.status).toBe(200);
    expect((await fetch(`${secondary.url}/v1/sessions/${sessid}`, { headers: AS_SERVICE })).status).toBe(200);
    expect((await fetch(`${secondary.url}/readyz`)).status).toBe(200);
    const refused = await fetch(`${secondary.url}/v1/sessions/${sessid}`, { method: "DELETE", headers: AS_SERVICE });
    expect([refused.status, await refused.json()]).toMatchObject([503, { code: "unavailable" }]);

    const { port } = new URL(primary.url);
    const directory = await mkdtemp(join(tmpdir(), "artoria-primary-again-"));
    stops.push(() => rm(directory, { recursive: true, force: true }));
    primary = await start({ STATE_DIR: directory, EDGE_PORT: port });
    // The store may need more than its second on a busy machine; the delete may be done all the same.
    await until(async () => {
      const { status } = await fetch(`${secondary.url}/v1/sessions/${sessid}`, {
        method: "DELETE",
        headers: AS_SERVICE,
      });
      return status === 204 || status === 404;
    });
  });
});

async function start(more: Readonly<Record<string, string>>): Promise<Edge> {
  const config = parseEdgeConfig({ ...variables, ...more }, build.bindings.variables);
  const edge = await startEdge(build, config, { print: () => undefined });
  stops.unshift(() => edge.close());
  return edge;
}

async function issue({ url }: Edge, user: string): Promise<{ sessid: number; token: string }> {
  const response = await fetch(`${url}/v1/sessions`, {
    method: "POST",
    headers: AS_SERVICE,
    body: JSON.stringify({ user }),
  });
  return (await response.json()) as { sessid: number; token: string };
}

/** The users in the room, as the second edge tells it. */
async function roomMembers(): Promise<string[]> {
  const response = await fetch(`${secondary.url}/v1/rooms/lobby`, { headers: AS_SERVICE });
  return ((await response.json()) as { members: { user: string }[] }).members.map(({ user }) => user);
}

/** The status of a GET at the second edge, from an address of one's own. */
async function askFrom(
  localAddress: string,
  path: string,
  headers: Record<string, string>,
): Promise<number | undefined> {
  const call = request(`${secondary.url}${path}`, { localAddress, headers, agent: false }).end();
  const [response] = (await once(call, "response")) as [import("node:http").IncomingMessage];
  response.resume();
  return response.statusCode;
}
