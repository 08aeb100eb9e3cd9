import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { parseStackConfig } from "../../dev/config.ts";
import { startStack } from "../../dev/stack.ts";

const FREE_PORTS = { EDGE_PORT: "0", BRIDGE_PORT: "0", PLAYER_PORT: "0", METRICS_PORT: "0", REDIS_REST_PORT: "0" };

describe("startStack", () => {
  test("the stack does not start on a port that is taken, and names its variable", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as { port: number };
    const config = parseStackConfig({ ...FREE_PORTS, BRIDGE_PORT: String(port) });
    await expect(startStack(config)).rejects.toThrow(
      new RegExp(`^BRIDGE_PORT: port ${port} of 127.0.0.1 is taken; set BRIDGE_PORT to another port`),
    );
    holder.close();
  });

  test("the stack does not start without the Redis of REDIS_URL", { timeout: 60_000 }, async () => {
    const config = parseStackConfig({ ...FREE_PORTS, REDIS_URL: "redis://127.0.0.1:1" });
    await expect(startStack(config)).rejects.toThrow(/127\.0\.0\.1:1 can't be reached: connect ECONNREFUSED/);
  });
});
