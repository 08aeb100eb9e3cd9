import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { unstable_readConfig } from "wrangler";

/** A tenth of what Cloudflare's free plan allows, so that a cold start stays short. */
const MAX_GZIPPED_BYTES = 100 * 1024;

const DEPLOY = ["wrangler", "deploy", "--dry-run", "--env", "production", "--outdir"];
const ENVIRONMENT = { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "true" };

test.concurrent("the password hasher builds for production, without an address of its own", async () => {
  const outdir = await mkdtemp(join(tmpdir(), "artoria-deploy-"));
  try {
    const config = "worker/password-hasher/wrangler.toml";
    const { stdout } = await promisify(execFile)("npx", [...DEPLOY, outdir, "--config", config], { env: ENVIRONMENT });
    expect(stdout).toContain("env.HASHERS (PasswordHasher)");
    const { workers_dev, preview_urls, routes } = unstable_readConfig({ config, env: "production" });
    expect({ workers_dev, preview_urls, routes }).toEqual({
      workers_dev: false,
      preview_urls: false,
      routes: undefined,
    });
  } finally {
    await rm(outdir, { recursive: true });
  }
});

test.concurrent("the edge builds for production, in under 100 KiB gzipped", async () => {
  const outdir = await mkdtemp(join(tmpdir(), "artoria-deploy-"));
  try {
    const { stdout } = await promisify(execFile)("npx", [...DEPLOY, outdir], { env: ENVIRONMENT });
    expect(stdout).toContain("env.PASSWORD_HASHER (artoria-password-hasher-production)");
    expect(stdout).toContain('env.SESSION_STORE ("redis")');
    const size = gzipSync(await readFile(join(outdir, "index.js"))).byteLength;
    expect(size).toBeLessThan(MAX_GZIPPED_BYTES);
  } finally {
    await rm(outdir, { recursive: true });
  }
});
