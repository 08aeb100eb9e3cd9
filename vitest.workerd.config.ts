import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { buildAssets } from "./dev/build-assets.ts";
import { hashInNode } from "./dev/hash-in-node.ts";

// wrangler.toml serves them, and the plugin runs no [build].
await buildAssets();

/** What runs inside workerd: the worker's own tests. */
export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        serviceBindings: { PASSWORD_HASHER: hashInNode({}) },
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
    globalSetup: ["./test/support/workerd-global-setup.ts"],
    include: ["test/worker/**/*.test.ts", "test/security/worker/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
