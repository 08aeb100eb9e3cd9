import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { type ProxyProgram, startNginx } from "../support/processes/proxies.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const KIM = { user: "kim", password: "correct horse battery" };
const TURNS = 6;

describe("two edges on one Redis, behind a proxy that takes turns", () => {
  let edges: [Edge, Edge];
  let proxy: ProxyProgram;
  const stops: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const redis = await startRedisServer();
    const rest = await startTestRedisRest({ REDIS_URL: redis.url });
    // One user database, as D1 is for all of Cloudflare.
    const stateDir = await mkdtemp(join(tmpdir(), "artoria-edges-"));
    const variables = {
      SESSION_STORE: "redis",
      UPSTASH_REDIS_REST_URL: rest.url,
      UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
    };
    edges = [await start(variables, stateDir), await start(variables, stateDir)];
    proxy = await startRoundRobin(edges);
    stops.push(() => proxy.stop(), ...edges.map((edge) => () => edge.close()));
    stops.push(
      () => rest.close(),
      () => redis.stop(),
      () => rm(stateDir, { recursive: true }),
    );
    await new CookieClient(edges[0].url).submit("/signup", KIM);
    await fetch(`${edges[0].url}/v1/users/web%3Akim/sessions`, { method: "DELETE", headers: AS_SERVICE });
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
  });

  it("recognise a user who logged in at one of them, count the user once, and end the session at either", async () => {
    for (const logoutAt of edges) {
      const browser = new CookieClient(proxy.url);
      await browser.open("/");
      expect((await browser.submit("/login", KIM)).status).toBe(303);
      const { cookie } = browser;
      expect(await namesOf(browser)).toEqual(Array(TURNS).fill("kim"));
      expect(browser.cookie).toBe(cookie);
      expect((await browser.open("/me")).status).toBe(200);
      expect(await Promise.all(edges.map(countUsers))).toEqual([1, 1]);

      const atOne = new CookieClient(logoutAt.url);
      atOne.cookie = cookie;
      expect((await atOne.submit("/logout", {})).status).toBe(303);
      expect(await namesOf(browser)).toEqual(Array(TURNS).fill(null));
      expect(await Promise.all(edges.map(countUsers))).toEqual([0, 0]);
    }
  });

  it("answer from the cache of one after a logout at the other, up to the age that the caller allows", async () => {
    const [here, there] = edges;
    const browser = new CookieClient(here.url);
    await browser.submit("/login", KIM);
    const asked = (maxAge: number) =>
      fetch(`${there.url}/v1/check`, {
        headers: { Cookie: `__Host-sid=${cookie}`, "Cache-Control": `max-age=${maxAge}` },
      });
    const { cookie } = browser;
    expect((await asked(0)).status).toBe(200);
    await browser.submit("/logout", {});
    expect((await asked(0)).status).toBe(401);
    const old = await asked(5);
    // What it knew is at most 5 s old, and it says so; had it taken longer to get here, it would know nothing.
    expect([old.status, old.headers.get("X-Check-Source")]).toEqual(old.ok ? [200, "edge"] : [401, "store"]);
    expect(Number(old.headers.get("Age"))).toBeLessThanOrEqual(5);
  });
});

describe("two edges with a store each, behind a proxy that takes turns", () => {
  let edges: [Edge, Edge];
  let proxy: ProxyProgram;

  beforeAll(async () => {
    const variables = { SESSION_STORE: "embedded" };
    edges = [await start(variables), await start(variables)];
    proxy = await startRoundRobin(edges);
    for (const { url } of edges) await new CookieClient(url).submit("/signup", KIM);
  });
  afterAll(async () => {
    await Promise.all([proxy.stop(), ...edges.map((edge) => edge.close())]);
  });

  it("lose a login as soon as a request of it lands on the other, which a shared store prevents", async () => {
    const browser = new CookieClient(proxy.url);
    expect((await browser.submit("/login", KIM)).status).toBe(303);
    const { cookie } = browser;
    // The other server takes him for new, and its new id makes the first server forget him too.
    expect(await namesOf(browser)).not.toEqual(Array(TURNS).fill("kim"));
    expect(browser.cookie).not.toBe(cookie);
    expect((await namesOf(browser)).at(-1)).toBeNull();
  });
});

const AS_SERVICE = { Authorization: "Bearer test-key" };

function start(variables: Record<string, string>, stateDir?: string): Promise<Edge> {
  return startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key", ...variables }, stateDir });
}

/** Each request lands on the other server than the one before it. */
function startRoundRobin(edges: readonly Edge[]): Promise<ProxyProgram> {
  const servers = edges.map(({ url }) => `server ${new URL(url).host} max_fails=0;`).join(" ");
  return startNginx(
    (port) => `upstream edges { ${servers} }
server {
  listen 127.0.0.1:${port};
  location / { proxy_pass http://edges; proxy_set_header X-Forwarded-Host $http_host; }
}`,
  );
}

/** Who the servers say the browser is, over requests that take turns; null is nobody. */
async function namesOf(browser: CookieClient): Promise<(string | null)[]> {
  const names: (string | null)[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const page = await (await browser.open("/")).text();
    names.push(/Hello, (\w+)/.exec(page)?.[1] ?? null);
  }
  return names;
}

async function countUsers({ url }: Edge): Promise<number> {
  const response = await fetch(`${url}/v1/count`, { headers: AS_SERVICE });
  return ((await response.json()) as { users: number }).users;
}
