import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { check, register } from "../conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

const SHEBANG = /^#!lua flags=no-writes,allow-key-locking\n/;

async function sha1(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text))).toHex();
}

describe("RedisStore's reads", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterEach(() => {
    vi.restoreAllMocks();
  });
  afterAll(() => harness.close());

  /** Stands in for Upstash, which knows the flag. Returns the scripts that were run, and how often one with it was loaded. */
  function likeUpstash() {
    const seen = { loads: 0, locking: 0, others: 0 };
    const plainShas = new Map<string, string>();
    const toRedis = globalThis.fetch;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      if (!String(input).endsWith("/pipeline")) return toRedis(input, init);
      const commands = JSON.parse(String(init?.body)) as string[][];
      const known = commands.map(async ([name = "", first = "", source = "", ...rest]) => {
        if (name === "SCRIPT" && SHEBANG.test(source)) {
          seen.loads += 1;
          const plain = source.replace(SHEBANG, "");
          plainShas.set(await sha1(source), await sha1(plain));
          return [name, first, plain];
        }
        const plainSha = plainShas.get(first);
        if (name.startsWith("EVALSHA")) seen[plainSha === undefined ? "others" : "locking"] += 1;
        return [name, plainSha ?? first, source, ...rest];
      });
      return toRedis(input, { ...init, body: JSON.stringify(await Promise.all(known)) });
    });
    return seen;
  }

  it("lock only their keys where the server knows how, from an isolate's second request on", async () => {
    const seen = likeUpstash();
    const store = harness.open({ touchIntervalMs: 60_000 });
    await store.run([register(1)]);
    expect(seen).toEqual({ loads: 2, locking: 0, others: 1 });
    expect(await check(store, 1)).toBe(Status.Ok);
    await store.run([{ kind: "checkAccess", sessid: 1, resource: "shop" }], { forBridge: true });
    expect(seen).toEqual({ loads: 2, locking: 2, others: 1 });
    await store.run([{ kind: "delete", sessid: 1 }]);
    expect(seen).toEqual({ loads: 2, locking: 2, others: 2 });
    expect(await check(store, 1)).toBe(Status.NotFound);
  });

  it("run all the same at a Redis, which refuses the flag, and is asked once in an isolate", async () => {
    const store = harness.open();
    const fetched = vi.spyOn(globalThis, "fetch");
    expect(await check(store, 1)).toBe(Status.NotFound);
    await harness.command("SCRIPT", "FLUSH");
    expect(await check(store, 1)).toBe(Status.NotFound);
    const bodies = fetched.mock.calls.map(([, init]) => String(init?.body)).filter((body) => body.includes('"LOAD"'));
    expect(bodies.map((body) => body.split("allow-key-locking").length - 1)).toEqual([2, 0]);
  });
});
