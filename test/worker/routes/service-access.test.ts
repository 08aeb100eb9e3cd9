import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { app } from "../../../worker/app.ts";
import { ask, problemOf } from "./edge-client.ts";

const withKey = (key: string, address: string) => ({
  headers: { Authorization: `Bearer ${key}`, "CF-Connecting-IP": address },
});

describe("service routes", () => {
  const routes = ["/v1/count", "/v1/sessions/7", "/v1/users/kim/sessions", "/v1/rooms/lobby", "/v1/packets"];

  it.each(routes)("require a key for %s", async (path) => {
    expect(await problemOf(await ask(path))).toMatchObject({ status: 401, code: "unauthenticated" });
    const address = `10.3.0.${routes.indexOf(path)}`;
    for (const Authorization of [
      "Basic a2V5",
      "Bearer",
      "test-key-0123456789-0123456789-01",
      "Bearer test-key-0123456789-0123456789-01 next-key-0123456789-0123456789-01",
      "Bearer test-ke",
    ]) {
      expect((await ask(path, { headers: { Authorization, "CF-Connecting-IP": address } })).status).toBe(401);
    }
    expect((await ask(path, withKey("test-key-0123456789-0123456789-01", "10.1.1.1"))).status).not.toBe(401);
  });

  it("accept each configured key", async () => {
    expect((await ask("/v1/count", withKey("next-key-0123456789-0123456789-01", "10.1.1.2"))).status).toBe(200);
  });

  it("limit wrong keys by address, and never a right one", async () => {
    const statuses: number[] = [];
    for (let attempt = 0; attempt < 30; attempt++)
      statuses.push((await ask("/v1/count", withKey("wrong", "10.1.1.3"))).status);
    expect(statuses[0]).toBe(401);
    const limited = await ask("/v1/count", withKey("wrong", "10.1.1.3"));
    expect(limited.headers.get("Retry-After")).toBe("60");
    expect(await problemOf(limited)).toMatchObject({ status: 429, code: "too_many" });
    expect((await ask("/v1/count", withKey("test-key-0123456789-0123456789-01", "10.1.1.3"))).status).toBe(200);
    expect((await ask("/v1/count", withKey("wrong", "10.1.1.4"))).status).toBe(401);
  });

  it("count an IPv6 network of 64 bits as one address", async () => {
    for (let host = 1; host <= 30; host++) await ask("/v1/count", withKey("wrong", `2001:db8:0:1::${host}`));
    expect((await ask("/v1/count", withKey("wrong", "2001:db8:0:1:ffff::9"))).status).toBe(429);
    expect((await ask("/v1/count", withKey("wrong", "2001:db8:0:2::9"))).status).toBe(401);
  });

  it.each(routes)("respond to %s with 503 not_configured without API_KEYS", async (path) => {
    const refused = await app.request(path, withKey("", "10.1.1.5"), { ...env, API_KEYS: undefined });
    expect(await problemOf(refused)).toMatchObject({ status: 503, code: "not_configured" });
  });

  it("respond with 503 not_configured and the name of a wrong variable", async () => {
    const refused = await app.request("/v1/count", withKey("test-key-0123456789-0123456789-01", "10.1.1.6"), {
      ...env,
      SESSION_STORE: "disk",
    });
    expect(await problemOf(refused)).toMatchObject({
      code: "not_configured",
      detail: expect.stringMatching(/^SESSION_STORE: /),
    });
  });
});
