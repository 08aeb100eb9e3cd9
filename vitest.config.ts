import { defineConfig } from "vitest/config";

/** No test depends on being fast: the machines are small and shared. */
const TEST_TIMEOUT_MS = 60_000;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: [
            "test/{protocol,tcp-bridge,client,redis-rest,dev,docs,bench,e2e}/**/*.test.ts",
            "test/security/*.test.ts",
          ],
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
        },
      },
      "vitest.workerd.config.ts",
    ],
  },
});
