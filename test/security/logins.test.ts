import { afterEach, expect, it } from "vitest";
import { type RunningStack, startStackOn } from "../support/running-stack.ts";

const LOGINS = 12;

let stack: RunningStack | undefined;

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

/** So many logins at once, of names that nobody has: they cost as much as any. */
async function logInAtOnce(edgeUrl: string): Promise<Response[]> {
  const login = async (index: number): Promise<Response> => {
    const response = await fetch(`${edgeUrl}/login`, {
      method: "POST",
      headers: { Origin: edgeUrl },
      body: new URLSearchParams({ user: `nobody-${index}`, password: "correct horse battery" }),
    });
    await response.arrayBuffer();
    return response;
  };
  return Promise.all(Array.from({ length: LOGINS }, (_, index) => login(index)));
}

it("logins beyond a short queue are answered 503 at once, with when to come again", async () => {
  stack = await startStackOn("embedded", { PASSWORD_HASHES_AT_ONCE: "1", PASSWORD_QUEUE: "3" });
  const responses = await logInAtOnce(stack.edgeUrl);
  const busy = responses.filter(({ status }) => status === 503);
  expect(responses.length - busy.length).toBeGreaterThanOrEqual(4);
  expect(busy.length).toBeGreaterThan(0);
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401, 503]));
  expect(busy.map(({ headers }) => headers.get("Retry-After"))).toEqual(busy.map(() => "5"));
});
