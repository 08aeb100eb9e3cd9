import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { EdgeSettings } from "../../../edge/modules/edge-settings.ts";
import edge, { Control } from "../../../edge/modules/entry.ts";

const SETTINGS: EdgeSettings = { gated: false, peers: null, primary: null, authorization: "Bearer of this test" };
const ENV = { ...env, EDGE_SETTINGS: JSON.stringify(SETTINGS) } as unknown as Parameters<typeof Control.fetch>[1];

async function ask(path: string, headers: Record<string, string> = {}): Promise<number> {
  const request = new Request(`http://edge.test${path}`, { headers });
  return (await edge.fetch(request, ENV, createExecutionContext())).status;
}

async function control(path: string, authorization = SETTINGS.authorization): Promise<number> {
  const request = new Request(`http://control.invalid${path}`, {
    method: "POST",
    headers: { Authorization: authorization },
  });
  return (await Control.fetch(request, ENV)).status;
}

// The module's state is of the process, so this is one test.
test("the program alone can have it sweep and drain; while it drains it answers all but /readyz and what would last", async () => {
  expect(await control("/drain", "Bearer wrong")).toBe(401);
  expect(await control("/none")).toBe(404);
  expect(await control("/sweep")).toBe(204);
  expect(await ask("/readyz")).toBe(200);
  expect(await control("/drain")).toBe(204);
  expect(await ask("/readyz")).toBe(503);
  expect(await ask("/v1/events")).toBe(503);
  expect(await ask("/v1/leases", { Upgrade: "websocket" })).toBe(503);
  expect(await ask("/v1/rooms/lobby/socket", { Upgrade: "websocket" })).toBe(503);
  expect(await ask("/healthz")).toBe(200);
  expect(await ask("/v1/check")).toBe(401);
});
