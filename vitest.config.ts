import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** No test depends on being fast: the machines are small and shared. */
const TEST_TIMEOUT_MS = 60_000;

/** On two cores, where tests that wait leave the processor to others. All projects must have the same number. */
export const MAX_WORKERS = 3;

// Node's compiled code is kept for the many programs that tests start, and for the tests' own processes: a start costs half.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/node-compile", import.meta.url));

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          isolate: false,
          maxWorkers: MAX_WORKERS,
          include: [
            "test/{protocol,config,tcp-bridge,client,redis-rest,dev,deploy,docs,bench,e2e}/**/*.test.ts",
            "test/{edge,security}/*.test.ts",
          ],
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
        },
      },
      "vitest.workerd.config.ts",
    ],
  },
});
