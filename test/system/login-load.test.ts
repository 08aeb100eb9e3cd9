import { afterEach, expect, it } from "vitest";
import { askAsService, logInAtOnce, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";

const LOGINS = 60;

let stack: RunningStack | undefined;

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

it("60 logins at once leave checks answered: more of them than there are logins", async () => {
  stack = await startStackOn("embedded", { PASSWORD_QUEUE: String(LOGINS) });
  const issued = (await (await askAsService(stack, "POST", "/v1/sessions", { user: "kim" })).json()) as {
    token: string;
  };
  const headers = { Authorization: `Bearer ${issued.token}` };
  let waiting = true;
  const logins = logInAtOnce(stack.edgeUrl, LOGINS).finally(() => {
    waiting = false;
  });
  const latencies: number[] = [];
  while (waiting) {
    const sent = performance.now();
    const response = await fetch(`${stack.edgeUrl}/v1/check`, { headers });
    expect(response.status).toBe(200);
    latencies.push(performance.now() - sent);
  }
  const statuses = (await logins).map(({ status }) => status);
  if (process.env["SHOW_LATENCIES"]) {
    latencies.sort((a, b) => a - b);
    const at = (part: number) => latencies[Math.floor(part * (latencies.length - 1))]?.toFixed(1);
    process.stdout.write(`${latencies.length} checks, ms: median ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)}\n`);
  }
  expect(statuses).toEqual(Array(LOGINS).fill(401));
  expect(latencies.length).toBeGreaterThan(LOGINS);
});
