import { readdir, readFile } from "node:fs/promises";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import * as esbuild from "esbuild";
import { defineConfig } from "vitest/config";
import { buildAssets } from "./dev/build-assets.ts";
import { hashInNode } from "./test/support/workerd/miniflare-edge.ts";
import { MAX_WORKERS } from "./vitest.config.ts";

// wrangler.toml serves them, and the plugin runs no [build].
await buildAssets();

/** A hash of production takes a quarter of a second of a core; test/worker/password-hasher/ is what tests that. */
const TEST_COST = { log2N: 4, r: 8, p: 1 };

/** The worker that has the accounts outside Cloudflare, beside D1: one suite runs against both. */
const ACCOUNTS_WORKER = {
  name: "accounts",
  compatibilityDate: "2026-11-01",
  modules: [
    { type: "ESModule" as const, path: "accounts-database.js", contents: await bundle("accounts-database.ts") },
  ],
  durableObjects: { ACCOUNTS: { className: "AccountsDatabase", useSQLite: true } },
  bindings: {
    MIGRATIONS: await Promise.all(
      (await readdir("migrations"))
        .sort()
        .map(async (name) => ({ name, sql: await readFile(`migrations/${name}`, "utf8") })),
    ),
  },
};

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
        durableObjects: { ACCOUNTS: { className: "AccountsDatabase", scriptName: "accounts" } },
        workers: [ACCOUNTS_WORKER],
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
    include: ["test/{worker,security/worker,edge/modules}/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

/** A file of edge/modules/ as one module. */
async function bundle(file: string): Promise<string> {
  const { outputFiles } = await esbuild.build({
    entryPoints: [`edge/modules/${file}`],
    bundle: true,
    format: "esm",
    external: ["cloudflare:*"],
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}
