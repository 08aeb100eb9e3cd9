import { afterEach, expect, it, vi } from "vitest";
import { app } from "../../../worker/app.ts";
import { Browser, bindings } from "../../worker/browser/browser.ts";

afterEach(() => vi.restoreAllMocks());

const FORGED = '{"level":30,"msg":"forged"}';

function fail(): never {
  throw new Error(`the first line\n${FORGED}`);
}

it.each([
  ["a page", "/login", { DB: { prepare: fail } }],
  ["a service route", "/v1/accounts", { DB: { prepare: fail } }],
])("an error of %s cannot begin a line of the worker's log, and its message is not logged", async (_, path, broken) => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const request = new Request(`https://edge.test${path}`, {
    ...(path === "/login" && { method: "POST", body: new URLSearchParams({ user: "kim", password: "x".repeat(9) }) }),
    headers: {
      Origin: "https://edge.test",
      Authorization: "Bearer test-key-0123456789-0123456789-01",
      "CF-Connecting-IP": new Browser().address,
    },
  });
  const response = await app.fetch(request, { ...bindings, ...broken });
  expect(response.status).toBe(503);
  expect(await response.text()).not.toContain("forged");
  expect(logged).toHaveBeenCalledOnce();
  const line = logged.mock.calls[0]?.join(" ") ?? "";
  expect(line).toMatch(/Error at .*log-lines\.test/);
  expect(line).not.toMatch(/\n|forged|first line/);
});
