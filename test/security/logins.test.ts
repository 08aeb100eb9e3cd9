import { afterAll, beforeAll, expect, it } from "vitest";
import {
  askAsService,
  logIn,
  logInAtOnce,
  type RunningStack,
  startStackOn,
} from "../support/processes/running-stack.ts";

const LOGINS = 12;

let stack: RunningStack;

// With the hashes of production, which the workerd project does without.
beforeAll(async () => {
  stack = await startStackOn("embedded", { PASSWORD_HASHES_AT_ONCE: "1", PASSWORD_QUEUE: "3" });
});

afterAll(() => stack.close());

it("logins beyond a short queue are answered 503 at once, with when to come again", async () => {
  const responses = await logInAtOnce(stack.edgeUrl, LOGINS);
  const busy = responses.filter(({ status }) => status === 503);
  expect(responses.length - busy.length).toBeGreaterThanOrEqual(4);
  expect(busy.length).toBeGreaterThan(0);
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401, 503]));
  expect(busy.map(({ headers }) => headers.get("Retry-After"))).toEqual(busy.map(() => "5"));
});

it("a login takes as long for a name that nobody has as with a wrong password", async () => {
  await askAsService(stack, "POST", "/v1/accounts", { name: "kim", password: "correct horse battery" });
  const fastestMs = async (user: string) => {
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      const start = performance.now();
      const { status } = await logIn(stack.edgeUrl, user, "a wrong password");
      times.push(performance.now() - start);
      expect(status).toBe(401);
    }
    return Math.min(...times);
  };
  // Without the hash it would take a hundredth.
  expect(await fastestMs("nobody-has-this")).toBeGreaterThan((await fastestMs("kim")) / 4);
});
