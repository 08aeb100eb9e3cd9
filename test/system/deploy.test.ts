import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";

/** A tenth of what Cloudflare's free plan allows, so that a cold start stays short. */
const MAX_GZIPPED_BYTES = 100 * 1024;

it("builds for production, under 100 KiB gzipped", async () => {
  const outdir = await mkdtemp(join(tmpdir(), "artoria-deploy-"));
  try {
    const wrangler = ["wrangler", "deploy", "--dry-run", "--env", "production", "--outdir", outdir];
    const { stdout } = await promisify(execFile)("npx", wrangler, {
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "true" },
    });
    expect(stdout).toContain('env.SESSION_STORE ("redis")');
    const size = gzipSync(await readFile(join(outdir, "index.js"))).byteLength;
    expect(size).toBeLessThan(MAX_GZIPPED_BYTES);
  } finally {
    await rm(outdir, { recursive: true });
  }
});
