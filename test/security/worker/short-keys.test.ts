import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { app } from "../../../worker/app.ts";
import { problemOf } from "../../worker/routes/edge-client.ts";

const routes = ["/v1/count", "/v1/check", "/v1/packets"];
const withKey = { headers: { Authorization: "Bearer dev-key", "CF-Connecting-IP": "10.9.1.1" } };

it.each(routes)("a deployed worker answers %s with 503 and the variable's name while a key is short", async (path) => {
  const deployed = { ...env, API_KEYS: "dev-key", LOOPBACK_ONLY: undefined };
  expect(await problemOf(await app.request(path, withKey, deployed))).toMatchObject({
    status: 503,
    code: "not_configured",
    detail: expect.stringMatching(
      /^API_KEYS: .*allowed are 32 characters or more \("openssl rand -base64 32" makes one\)/,
    ),
  });
});
