import { describe, expect, test } from "vitest";
import { parseStackConfig } from "../../dev/config.ts";
import { startStack } from "../../dev/stack.ts";

const FREE_PORTS = {
  EDGE_PORT: "0",
  BRIDGE_PORT: "0",
  PLAYER_PORT: "0",
  METRICS_PORT: "0",
  CHECK_PORT: "0",
  REDIS_REST_PORT: "0",
};

describe("startStack", () => {
  test("the stack does not start without the Redis of REDIS_URL", { timeout: 60_000 }, async () => {
    const config = parseStackConfig({ ...FREE_PORTS, REDIS_URL: "redis://127.0.0.1:1" });
    await expect(startStack(config)).rejects.toThrow(/127\.0\.0\.1:1 can't be reached: connect ECONNREFUSED/);
  });
});
