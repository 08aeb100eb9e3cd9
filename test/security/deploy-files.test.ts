import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";

const dockerfile = await readFile("deploy/Dockerfile", "utf8");

describe("deploy/Dockerfile", () => {
  it("names its base by a full version, and runs as a user that is not root, by number", () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    expect(bases.length).toBeGreaterThan(0);
    for (const base of bases) expect(base).toMatch(/:\d+\.\d+\.\d+-\S+$|@sha256:[0-9a-f]{64}$/);
    const users = [...dockerfile.matchAll(/^USER (\S+)/gm)].map(([, user]) => user);
    expect(users.at(-1)).toMatch(/^[1-9]\d*(:[1-9]\d*)?$/);
  });
});

describe("wrangler.toml", () => {
  it.each([undefined, "production"])("keeps query strings, which name users, out of logs and traces: %s", (env) => {
    const { observability } = unstable_readConfig({ config: "wrangler.toml", env }, { hideWarnings: true });
    expect(observability).toMatchObject({ enabled: true, redact_query_string: true, traces: { enabled: true } });
    expect(observability?.traces?.head_sampling_rate).toBeLessThanOrEqual(0.05);
  });
});

describe("wrangler.toml for production", () => {
  it("has no address under workers.dev, for its versions neither", () => {
    const config = unstable_readConfig({ config: "wrangler.toml", env: "production" }, { hideWarnings: true });
    expect([config.workers_dev, config.preview_urls]).toEqual([false, false]);
  });
});
