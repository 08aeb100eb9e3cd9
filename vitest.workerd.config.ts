import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { buildAssets } from "./dev/build-assets.ts";
import { hashInNode } from "./dev/edge.ts";
import { MAX_WORKERS } from "./vitest.config.ts";

// wrangler.toml serves them, and the plugin runs no [build].
await buildAssets();

/** A hash of production takes a quarter of a second of a core; test/worker/password-hasher/ is what tests that. */
const TEST_COST = { log2N: 4, r: 8, p: 1 };

/** What runs inside workerd: the worker's own tests. */
export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        serviceBindings: { PASSWORD_HASHER: hashInNode({}, TEST_COST) },
        bindings: {
          API_KEYS: "test-key-0123456789-0123456789-01,next-key-0123456789-0123456789-01",
          LOOPBACK_ONLY: "1",
          MIGRATIONS: await readD1Migrations("./migrations"),
        },
      },
    }),
  ],
  test: {
    name: "workerd",
    // A workerd of its own costs a test file two seconds of a core: test/worker/empty-storage.ts empties what they share.
    isolate: false,
    maxWorkers: MAX_WORKERS,
    setupFiles: ["./test/worker/empty-storage.ts"],
    globalSetup: ["./test/support/workerd/global-setup.ts"],
    include: ["test/worker/**/*.test.ts", "test/security/worker/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
