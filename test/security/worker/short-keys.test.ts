import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { app } from "../../../worker/app.ts";
import { problemOf } from "../../worker/routes/edge-client.ts";

const routes = ["/v1/count", "/v1/check", "/v1/packets"];
const withKey = { headers: { Authorization: "Bearer dev-key", "CF-Connecting-IP": "10.9.1.1" } };

it.each(routes)("a deployed worker responds to %s with 503 and the variable's name if a key is short", async (path) => {
  const deployed = { ...env, API_KEYS: "dev-key", LOOPBACK_ONLY: undefined };
  expect(await problemOf(await app.request(path, withKey, deployed))).toMatchObject({
    status: 503,
    code: "not_configured",
    detail: expect.stringMatching(
      /^API_KEYS: .*allowed are 32 characters or more \("openssl rand -base64 32" makes one\)/,
    ),
  });
});

it("a short key is valid only for loopback hosts, so that no page can use it by DNS rebinding", async () => {
  const local = { ...env, API_KEYS: "dev-key", LOOPBACK_ONLY: "1" };
  // With a valid key the response is that this is no number: the store is not asked.
  const statusAt = async (host: string) =>
    (await app.request(`http://${host}/v1/sessions/none`, withKey, local)).status;
  expect(await statusAt("rebound.example:8787")).toBe(401);
  expect(await statusAt("127.0.0.1.nip.io:8787")).toBe(401);
  for (const host of ["127.0.0.1:8787", "localhost:8787", "[::1]:8787"]) expect(await statusAt(host)).toBe(400);
});

it("a short key is valid only for loopback hosts also if a proxy on the same machine passes the request on", async () => {
  const local = { ...env, API_KEYS: "dev-key", LOOPBACK_ONLY: "1" };
  const statusFor = async (forwarded: string) => {
    const headers = { ...withKey.headers, "X-Forwarded-Host": forwarded };
    return (await app.request("http://127.0.0.1:8787/v1/sessions/none", { headers }, local)).status;
  };
  expect(await statusFor("artoria.example")).toBe(401);
  expect(await statusFor("localhost@artoria.example")).toBe(401);
  expect(await statusFor("localhost:8787")).toBe(400);
});
