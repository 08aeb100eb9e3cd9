import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { type ProxyProgram, startCaddy, startNginx } from "../support/processes/proxies.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const PASSWORD = "correct horse battery";
const HOUR_MS = 3_600_000;

/** The site's name as deploy/ has it: to a proxy another one is another site. */
const SITE = "shop.example";

/** The ready-made configurations as they stand in deploy/, on ports of this test. */
const PROXIES = [
  {
    name: "nginx",
    start: startNginx,
    file: "deploy/nginx/artoria.conf",
    listen: (text: string, port: number) => text.replace("listen 80;", `listen 127.0.0.1:${port};`),
  },
  {
    name: "Caddy",
    start: startCaddy,
    file: "deploy/caddy/Caddyfile",
    listen: (text: string, port: number) =>
      text.replace("\nshop.example {", `\nhttp://shop.example:${port}, http://127.0.0.1:${port} {`),
  },
];

/** Who checks: the files name the check port of a bridge, and say how the edge checks where there is no bridge. */
const CASES = PROXIES.flatMap((proxy) => [
  { ...proxy, checks: "a bridge" },
  { ...proxy, checks: "the edge" },
]);

let edge: Edge;
let bridge: Bridge;
let site: Server;
let sitePort: number;
/** Stands for who checks, and keeps what the proxies hand to it. */
let listener: Server;
let listenerPort: number;
let checks: IncomingMessage[] = [];

beforeAll(async () => {
  const variables = { API_KEYS: "test-key", WEB_GRANTS: "/*", TRUSTED_PROXIES: "127.0.0.1" };
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  bridge = await startBridge(
    parseBridgeConfig({
      ...{ EDGE_URL: edge.url, API_KEY: "test-key", LOG_LEVEL: "silent" },
      ...{ BRIDGE_PORT: "0", METRICS_PORT: "0", CHECK_PORT: "0" },
    }),
  );
  // The protected site: it shows what it was sent, as WSGI and CGI give it to a program too.
  site = createServer((request, response) =>
    response.end(JSON.stringify({ url: request.url, ...request.headers, folded: folded(request) })),
  );
  site.on("upgrade", (request, socket) => {
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n${JSON.stringify(folded(request))}`,
    );
  });
  sitePort = await listenAnywhere(site);
  listener = createServer((request, response) => {
    checks.push(request);
    const token = request.headers.cookie ?? request.headers.authorization ?? "";
    const status = token.includes("let-me-in") ? 200 : 401;
    response.writeHead(status, status === 200 ? { "X-Session-User": "kim", "X-Session-Id": "7" } : {}).end();
  });
  listenerPort = await listenAnywhere(listener);
});

afterAll(async () => {
  await bridge.close();
  await edge.close();
  site.close();
  listener.close();
});

describe.each(CASES)("a site behind $name, where $checks checks", ({ name, checks: checker, start, file, listen }) => {
  let proxy: ProxyProgram | undefined;
  let browser: CookieClient;
  /** A client that never ends its headers. It waits for the proxy's timeout while the other tests run. */
  let slowClient: Socket | undefined;

  /** Accounts of this case. */
  const account = (user: string) => `${name}-${checker === "a bridge" ? "b" : "e"}-${user}`;

  const startBefore = async (checkHost: string) => {
    const text = await readFile(file, "utf8");
    const placed = text
      .replaceAll("127.0.0.1:8787", new URL(edge.url).host)
      .replaceAll("127.0.0.1:7003", checkHost)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${sitePort}`)
      .replaceAll(":8786", `:${await freePort()}`);
    return start((port) => listen(placed, port));
  };
  beforeAll(async () => {
    proxy = await startBefore(
      checker === "a bridge" ? `127.0.0.1:${bridge.checkAddress?.port}` : new URL(edge.url).host,
    );
    slowClient = connect(Number(new URL(proxy.url).port), "127.0.0.1").resume();
    slowClient.write(`GET / HTTP/1.1\r\nHost: ${SITE}\r\n`);
  });
  afterAll(async () => {
    slowClient?.destroy();
    await proxy?.stop();
  });
  beforeEach(() => {
    browser = new CookieClient(proxy?.url ?? "");
  });

  test("sends who has no session to the login page, and back after it", async () => {
    const refused = await browser.open("/cart?a=b&c=%2Fd");
    expect([refused.status, refused.headers.get("Location")]).toEqual([303, "/login?return=/cart?a=b&c=%2Fd"]);
    const page = await browser.open("/login?return=/cart?a=b&c=%2Fd");
    expect(await page.text()).toContain('name="return" value="/cart?a=b&amp;c=%2Fd"');
    expect((await browser.open("/cart")).status).toBe(303);
    const signedUp = await signUp(browser, account("kim"), "/cart?a=b&c=%2Fd");
    expect([signedUp.status, signedUp.headers.get("Location")]).toEqual([303, "/cart?a=b&c=%2Fd"]);
    expect(await seen(browser, "/cart?a=b&c=%2Fd")).toMatchObject({ url: "/cart?a=b&c=%2Fd" });
  });

  test("is closed by its own name, and by any other that the proxy answers to", async () => {
    const cookie = `Cookie: __Host-sid=${await issue(["/shop/*"])}`;
    for (const host of [SITE, SITE.toUpperCase(), `${SITE}:80`, "127.0.0.1", "other.example", "127.0.0.1:8786"]) {
      for (const lines of [[], ["Cookie: __Host-sid=none"], [cookie]]) {
        expect([host, await ask(proxy, "/admin", lines, { host })]).not.toEqual([
          host,
          expect.stringContaining("folded"),
        ]);
      }
    }
    expect(await ask(proxy, "/admin", [])).toMatch(/^HTTP\/1\.1 303 /);
    expect(await ask(proxy, "/admin", [cookie])).toMatch(/^HTTP\/1\.1 403 /);
    expect(await ask(proxy, "/shop/cart", [cookie])).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("is told the user, whatever a client sends under that name", async () => {
    await signUp(browser, account("김"));
    const user = encodeURIComponent(`web:${account("김").toLowerCase()}`);
    expect(await seen(browser, "/")).toMatchObject({ "x-session-user": user });
    const forged = { "X-Session-User": "root", "X-Session-Id": "1", X_Session_User: "root" };
    const { "x-session-user": told, "x-session-id": id } = await seen(browser, "/", forged);
    expect(told).toBe(user);
    expect(id).toMatch(/^-?\d+$/);
    expect(id).not.toBe("1");
  });

  test("is told who it is once, in every spelling that it may fold", async () => {
    browser.cookie = await issue(["*"]);
    const cookie = `Cookie: __Host-sid=${browser.cookie}`;
    const names = ["X-Session-User", "x-session-user", "X_Session_User", "X-SESSION_USER", "x_session-user"];
    const ids = names.map((name) => name.replace(/user/i, "Id"));
    const forged = [...names, ...names, ...ids].map((name) => `${name}: root`);
    for (const connection of ["", "close", ...names, ...ids, "X-Session-User, X-Session-Id, X-Original-URI, Host"]) {
      const lines = [cookie, ...forged, ...(connection === "" ? [] : [`Connection: ${connection}`])];
      const text = await ask(proxy, "/", lines);
      expect([connection, text.slice(0, 12)]).toEqual([connection, "HTTP/1.1 200"]);
      const { folded: told } = JSON.parse(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1));
      expect([connection, told]).toEqual([connection, { user: ["lee"], id: [expect.stringMatching(/^-?\d+$/)] }]);
    }
  });

  test("upgrades to a WebSocket, and says there who it is as well", async () => {
    const cookie = `Cookie: __Host-sid=${await issue(["*"])}`;
    const upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    for (const connection of ["Upgrade", "Upgrade, X-Session-User, X-Session-Id"]) {
      const lines = [cookie, `Connection: ${connection}`, "X_Session_User: root", "X-Session-User: root", ...upgrade];
      const text = await ask(proxy, "/live", lines);
      expect(text).toMatch(/^HTTP\/1\.1 101 /);
      expect(text).toMatch(/\{"user":\["lee"\],"id":\["-?\d+"\]\}/);
      expect(await ask(proxy, "/live", lines.slice(1))).toMatch(/^HTTP\/1\.1 303 /);
    }
  });

  test("does not upgrade to a protocol whose later requests nobody would check", async () => {
    const cookie = `Cookie: __Host-sid=${await issue(["*"])}`;
    const twice = ["websocket\r\nUpgrade: h2c", "h2c\r\nUpgrade: websocket", "\r\nUpgrade: h2c\r\nUpgrade: websocket"];
    for (const upgrade of ["h2c", "H2C", "websocket, h2c", "h2c, websocket", "evil", ...twice]) {
      const h2c = [`Upgrade: ${upgrade}`, "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"];
      // Told of a WebSocket alone, the site may upgrade to that.
      expect([upgrade, await ask(proxy, "/", [cookie, ...h2c])]).not.toEqual([
        upgrade,
        expect.stringMatching(/ 101 [\s\S]*^upgrade: (?!websocket\r)/im),
      ]);
    }
  });

  test("opens to nobody by a header of Miniflare's, nor further than the grants", async () => {
    const cookie = `Cookie: __Host-sid=${await issue(["/public/*"])}`;
    for (const header of ["MF-Original-URL", "mf-original-url", "Mf_Original_Url", "MF-Route-Override", "MF-CF-Blob"]) {
      const forged = `${header}: http://x/healthz`;
      expect(await ask(proxy, "/admin/secret", [forged])).toMatch(/^HTTP\/1\.1 303 /);
      expect(await ask(proxy, "/admin/secret", [forged, cookie])).toMatch(/^HTTP\/1\.1 403 /);
      expect(await ask(proxy, "/public/page", [forged, cookie])).toMatch(/^HTTP\/1\.1 200 /);
    }
  });

  test("opens to no spelling of a path that another reader takes for another", async () => {
    const cookie = `Cookie: __Host-sid=${await issue(["/public/*"])}`;
    const paths = [
      ...["/public/%252e%252e/admin", "/public/..%252fadmin", "/public/%2e%2e/admin", "/public/../admin"],
      ...[
        "/public/..;/admin",
        "/public/..%5cadmin",
        "/public//../admin",
        "/../../healthz",
        "//healthz",
        "/%2e%2e/healthz",
      ],
    ];
    for (const path of paths) {
      for (const lines of [[cookie], []])
        expect([path, await ask(proxy, path, lines)]).not.toEqual([path, expect.stringMatching(/^HTTP\/1\.1 2/)]);
    }
  });

  test("keeps its own query, whatever the check has of that name", async () => {
    browser.cookie = await issue(["/shop/*"]);
    const path = "/shop/cart?resource=1&resource=%2Fadmin";
    expect(await seen(browser, path)).toMatchObject({ url: path });
    expect((await browser.open("/admin?resource=/shop/cart")).status).toBe(403);
  });

  test("hands the check the credentials and the URI, and nothing else of the client's", async () => {
    checks = [];
    const alone = await startBefore(`127.0.0.1:${listenerPort}`);
    try {
      const sent = [
        "User-Agent: evil",
        "Accept: x/y",
        "Origin: http://evil",
        "Forwarded: for=evil",
        "Range: bytes=0-1",
      ];
      const more = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Uri: /u",
        "X-Original-URI: /u",
        "MF-Original-URL: http://x/",
      ];
      const rest = [
        "CF-Connecting-IP: 6.6.6.6",
        "Cache-Control: max-age=5",
        "evil: evil",
        "Upgrade: h2c",
        "TE: trailers",
      ];
      const credentials = ["Cookie: __Host-sid=let-me-in", "Authorization: Basic let-me-in"];
      const lines = [...credentials, ...sent, ...more, ...rest, "Content-Length: 4"];
      expect(await ask(alone, "/a/%2e?resource=/b", lines, { method: "POST", body: "evil" })).toMatch(
        /^HTTP\/1\.1 200 /,
      );
      const [check] = checks;
      expect([check?.method, check?.url]).toEqual(["GET", "/v1/check"]);
      const { host, connection: _, "user-agent": agent, "accept-encoding": __, ...headers } = check?.headers ?? {};
      expect(headers).toEqual({
        cookie: "__Host-sid=let-me-in",
        authorization: "Basic let-me-in",
        "x-original-uri": "/a/%2e?resource=/b",
        "cache-control": "max-age=2",
      });
      expect(`${host} ${agent}`).not.toContain("evil");
    } finally {
      await alone.stop();
    }
  });

  test("does not ask for another resource because a client says so", async () => {
    browser.cookie = await issue(["/shop/*"]);
    expect((await browser.open("/shop/cart")).status).toBe(200);
    expect((await browser.open("/admin")).status).toBe(403);
    for (const header of ["X-Original-URI", "X-Forwarded-Uri"]) {
      expect((await browser.open("/admin", { headers: { [header]: "/shop/cart" } })).status).toBe(403);
      expect((await browser.open("/shop/cart", { headers: { [header]: "/admin" } })).status).toBe(200);
    }
    expect((await browser.open("/shop/..%2fadmin")).status).toBeGreaterThanOrEqual(400);
  });

  test("gets none of the pages' forms, whose fields are passwords", async () => {
    await signUp(browser, account("jung"));
    const pages = [
      "/login",
      "/signup",
      "/logout",
      "/me",
      "/me/password",
      "/me/delete",
      "/me/sessions/end",
      "/me/sessions/end-others",
    ];
    for (const path of pages) {
      for (const method of ["GET", "POST"]) {
        const text = await (await browser.open(path, { method, headers: { Origin: "https://evil.example" } })).text();
        expect([path, method, text]).not.toEqual([path, method, expect.stringContaining("folded")]);
      }
    }
    expect(await (await browser.open("/metropolis")).text()).toContain("folded");
  });

  test("is closed again after the logout", async () => {
    await signUp(browser, account("lee"));
    const { cookie } = browser;
    expect((await browser.open("/")).status).toBe(200);
    expect((await browser.submit("/logout", {})).status).toBe(303);
    browser.cookie = cookie;
    expect((await browser.open("/")).status).toBe(303);
  });

  test("refuses a form of another site", async () => {
    await signUp(browser, account("park"));
    const init = { method: "POST", headers: { Origin: "https://evil.example", "X-Forwarded-Host": "evil.example" } };
    expect((await browser.open("/logout", init)).status).toBe(403);
    expect((await browser.open("/")).status).toBe(200);
  });

  test("sees a client's own address in the session", async () => {
    const body = new URLSearchParams({ user: account("choi"), password: PASSWORD }).toString();
    const form = [`Origin: http://${SITE}`, "Content-Type: application/x-www-form-urlencoded"];
    const forged = ["CF-Connecting-IP: 192.0.2.1", "X-Forwarded-For: 192.0.2.1"];
    const lines = [...form, ...forged, `Content-Length: ${body.length}`];
    const signedUp = await ask(proxy, "/signup", lines, { method: "POST", body, from: "127.0.0.2" });
    browser.cookie = /^set-cookie: __Host-sid=([^;]+)/im.exec(signedUp)?.[1];
    const me = await browser.open("/me", { headers: { Accept: "application/json" } });
    const { sessions } = (await me.json()) as { sessions: { ip: string; expiresAt: number }[] };
    expect(sessions.map(({ ip }) => ip)).toEqual(["127.0.0.2"]);
    expect(sessions[0]?.expiresAt).toBeLessThan(Date.now() + HOUR_MS);
  });

  test("closes the connection of a client that never ends its headers", async () => {
    if (slowClient?.closed === false) await once(slowClient, "close", { signal: AbortSignal.timeout(30_000) });
    expect(slowClient?.closed).toBe(true);
  });
});

function signUp(browser: CookieClient, user: string, returnTo = "/"): Promise<Response> {
  return browser.submit("/signup", { user, password: PASSWORD, return: returnTo });
}

/** The identity headers as a program behind WSGI or CGI finds them: by capitals and "_". */
function folded({ rawHeaders }: IncomingMessage): Record<"user" | "id", string[]> {
  const values = (variable: string) =>
    rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toUpperCase().replaceAll("-", "_") === variable);
  return { user: values("X_SESSION_USER"), id: values("X_SESSION_ID") };
}

async function listenAnywhere(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** The answer to a request of these very bytes. */
async function ask(
  proxy: ProxyProgram | undefined,
  path: string,
  lines: readonly string[],
  { method = "GET", body = "", from = "127.0.0.1", host = SITE } = {},
): Promise<string> {
  const { port } = new URL(proxy?.url ?? "");
  const socket = connect({ port: Number(port), host: "127.0.0.1", localAddress: from }).setEncoding("utf8");
  const closing = lines.some((line) => /^connection:/i.test(line)) ? [] : ["Connection: close"];
  socket.write([`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...closing, ...lines, "", body].join("\r\n"));
  let text = "";
  for await (const chunk of socket) {
    text += chunk;
    if (isWhole(text)) break;
  }
  socket.destroy();
  return text;
}

/** Whether all of an answer has come, of which some are on a connection that stays. */
function isWhole(text: string): boolean {
  const [head, ...body] = text.split("\r\n\r\n");
  if (body.length === 0) return false;
  const length = /^content-length: (\d+)/im.exec(head ?? "")?.[1];
  if (length !== undefined) return Buffer.byteLength(body.join("\r\n\r\n")) >= Number(length);
  return /^transfer-encoding: chunked/im.test(head ?? "") && text.endsWith("\r\n0\r\n\r\n");
}

/** What the site was sent. */
async function seen(browser: CookieClient, path: string, headers: Record<string, string> = {}) {
  const response = await browser.open(path, { headers });
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, string>;
}

/** A service's session; its token. */
async function issue(grants: readonly string[]): Promise<string> {
  const response = await fetch(`${edge.url}/v1/sessions`, {
    method: "POST",
    headers: { Authorization: "Bearer test-key", "Content-Type": "application/json" },
    body: JSON.stringify({ user: "lee", grants }),
  });
  return ((await response.json()) as { token: string }).token;
}
