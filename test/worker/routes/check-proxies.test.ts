import { describe, expect, it } from "vitest";
import { ask, createSession } from "./edge-client.ts";

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

describe.each(REQUESTS)("%s", (_, path, method, proxyHeaders) => {
  const asked = (token: string | undefined) =>
    ask(path, { method, headers: { ...proxyHeaders, ...(token && { Cookie: `theme=dark; __Host-sid=${token}` }) } });

  it("learns the user if the grants allow the path", async () => {
    const { token, user } = await createSession({ user: "김 철수", grants: ["/shop/*"] });
    const response = await asked(token);
    expect(response.status).toBe(200);
    expect(response.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
  });

  it("gets 403 if they do not, and 401 without a session", async () => {
    const { token } = await createSession({ grants: ["/admin"] });
    expect((await asked(token)).status).toBe(403);
    const refused = await asked(undefined);
    expect([refused.status, refused.headers.has("Set-Cookie")]).toEqual([401, false]);
  });
});
