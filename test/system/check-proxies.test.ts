import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";

/** The requests of proxies that are not in Debian, as their documentation and source describe them, for GET /shop/cart?a=b. */
const REQUESTS: [proxy: string, path: string, method: string, headers: Record<string, string>][] = [
  [
    "Traefik ForwardAuth",
    "/v1/check",
    "GET",
    {
      "X-Forwarded-For": "192.0.2.7",
      "X-Forwarded-Host": "shop.example",
      "X-Forwarded-Method": "POST",
      "X-Forwarded-Port": "443",
      "X-Forwarded-Proto": "https",
      "X-Forwarded-Server": "traefik-1",
      "X-Forwarded-Uri": "/shop/cart?a=b",
      "X-Real-Ip": "192.0.2.7",
    },
  ],
  [
    "Caddy reverse_proxy",
    "/v1/check",
    "GET",
    { Authorization: "", "Cache-Control": "max-age=2", "X-Original-URI": "/shop/cart?a=b" },
  ],
  [
    "Envoy ext_authz",
    "/v1/check",
    "POST",
    {
      "Cache-Control": "max-age=2",
      "Content-Length": "0",
      "X-Envoy-Expected-Rq-Timeout-Ms": "5000",
      "X-Envoy-Internal": "true",
      "X-Forwarded-For": "192.0.2.7",
      "X-Original-URI": "/shop/cart?a=b&resource=/admin",
    },
  ],
  ["nginx auth_request", "/v1/check", "GET", { "X-Original-URI": "/shop/cart?a=b", "Cache-Control": "max-age=2" }],
];

const CASES = REQUESTS.flatMap(([proxy, ...request]) => [
  { proxy, where: "the edge", request },
  { proxy, where: "the check port", request },
]);

let stack: RunningStack;
beforeAll(async () => {
  stack = await startStackOn("embedded");
});
afterAll(() => stack?.close());

describe.each(CASES)("$proxy at $where", ({ where, request: [path, method, proxyHeaders] }) => {
  const asked = (token: string | undefined) =>
    fetch(new URL(path, where === "the edge" ? stack.edgeUrl : stack.checkUrl), {
      method,
      headers: { ...proxyHeaders, ...(token && { Cookie: `theme=dark; __Host-sid=${token}` }) },
    });

  it("learns the user if the grants allow the path", async () => {
    const response = await asked(await issue("김 철수", ["/shop/*"]));
    expect(response.status).toBe(200);
    expect(response.headers.get("X-Session-User")).toBe(encodeURIComponent("김 철수"));
  });

  it("gets 403 if they do not, and 401 without a session", async () => {
    expect((await asked(await issue("lee", ["/admin"]))).status).toBe(403);
    const refused = await asked(undefined);
    expect([refused.status, refused.headers.has("Set-Cookie")]).toEqual([401, false]);
  });
});

async function issue(user: string, grants: readonly string[]): Promise<string> {
  const response = await askAsService(stack, "POST", "/v1/sessions", { user, grants });
  return ((await response.json()) as { token: string }).token;
}
