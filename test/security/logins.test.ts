import { afterEach, expect, it } from "vitest";
import { logInAtOnce, type RunningStack, startStackOn } from "../support/running-stack.ts";

const LOGINS = 12;

let stack: RunningStack | undefined;

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

it("logins beyond a short queue are answered 503 at once, with when to come again", async () => {
  stack = await startStackOn("embedded", { PASSWORD_HASHES_AT_ONCE: "1", PASSWORD_QUEUE: "3" });
  const responses = await logInAtOnce(stack.edgeUrl, LOGINS);
  const busy = responses.filter(({ status }) => status === 503);
  expect(responses.length - busy.length).toBeGreaterThanOrEqual(4);
  expect(busy.length).toBeGreaterThan(0);
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401, 503]));
  expect(busy.map(({ headers }) => headers.get("Retry-After"))).toEqual(busy.map(() => "5"));
});
