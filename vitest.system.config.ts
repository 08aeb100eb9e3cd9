import { defineConfig } from "vitest/config";

/** What needs more parts than one machine usually runs: one file at a time, and time enough for a failover. */
export default defineConfig({
  test: {
    name: "system",
    include: ["test/system/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
