import { createScheduledController, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import type { Bindings } from "../../worker/app-env.ts";
import worker from "../../worker/index.ts";
import { askAsService, newUser } from "./routes/edge-client.ts";

it("the cron trigger removes expired sessions from the indices, and nothing else", async () => {
  const bindings = env as unknown as Bindings;
  const kept = await (await askAsService("POST", "/v1/sessions", { user: newUser() })).json<{ sessid: number }>();
  const brief = { user: newUser(), ttlSeconds: 1 };
  const { sessid } = await (await askAsService("POST", "/v1/sessions", brief)).json<{ sessid: number }>();
  while ((await askAsService("GET", `/v1/sessions/${sessid}`)).status !== 404) await scheduler.wait(50);
  expect(await storedSessids(bindings)).toEqual(new Set([kept.sessid, sessid]));

  await worker.scheduled(createScheduledController(), bindings);
  expect(await storedSessids(bindings)).toEqual(new Set([kept.sessid]));
});

/** What the embedded store's table holds, expired or not. */
async function storedSessids({ EMBEDDED_SESSIONS }: Bindings): Promise<Set<unknown>> {
  return runInDurableObject(EMBEDDED_SESSIONS.getByName("sessions"), (_, state) => {
    return new Set([...state.storage.sql.exec("SELECT sessid FROM sessions")].map(({ sessid }) => sessid));
  });
}
