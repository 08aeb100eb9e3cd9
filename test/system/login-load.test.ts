import { expect, test } from "vitest";
import { askAsService, logInAtOnce } from "../support/processes/running-stack.ts";
import { startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const LOGINS = 30;

test("30 logins at once leave checks answered: more of them than there are logins", async () => {
  const variables = { API_KEYS: API_KEY, PASSWORD_QUEUE: String(LOGINS) };
  const edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  try {
    const issued = await askAsService({ edgeUrl: edge.url, apiKey: API_KEY }, "POST", "/v1/sessions", { user: "kim" });
    const { token } = (await issued.json()) as { token: string };
    let waiting = true;
    const logins = logInAtOnce(edge.url, LOGINS).finally(() => {
      waiting = false;
    });
    const latencies: number[] = [];
    while (waiting) {
      const sent = performance.now();
      const response = await fetch(`${edge.url}/v1/check`, { headers: { Authorization: `Bearer ${token}` } });
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
  } finally {
    await edge.close();
  }
});
