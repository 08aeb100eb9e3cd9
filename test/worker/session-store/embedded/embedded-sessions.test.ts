import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { failedResponse } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { EmbeddedStore } from "../../../../worker/session-store/embedded/embedded-store.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import { check, count, live, register } from "../conformance/session-requests.ts";
import { testPolicy } from "../store-harness.ts";
import { createEmbeddedHarness, embeddedObject } from "./embedded-harness.ts";

describe("EmbeddedSessions", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  const rows = () =>
    runInDurableObject(embeddedObject(), (_, state) => {
      return state.storage.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM sessions").one().n;
    });

  it("keeps its sessions when it is evicted", async () => {
    const store = harness.open();
    await store.run([register(1, { idleMs: 10 ** 12 }), register(2, { user: "lee", idleMs: 10 ** 12 })]);
    await runOne(store, { kind: "delete", sessid: 2 });
    const before = await live(store, 1);
    await evictDurableObject(embeddedObject());
    // The object that comes back has the real clock again.
    await runInDurableObject(embeddedObject(), async (object) => {
      const now = await harness.now();
      object.nowMs = () => now;
    });
    expect(await live(store, 1)).toEqual(before);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("writes a touch by itself, after the response", async () => {
    const store = harness.open();
    const { expiresAt } = await runOne(store, register(1));
    await harness.advance(1000);
    await check(store, 1);
    await vi.waitUntil(async () => (await live(store, 1)).expiresAt === expiresAt + 1000, { timeout: 30_000 });
  });

  it("removes expired rows with the next write, and with a sweep", async () => {
    const store = harness.open();
    const sessions = Array.from({ length: 50 }, (_, index) => register(index + 1, { user: `user-${index}` }));
    await store.run(sessions);
    await harness.advance(harness.idleMs);
    expect(await rows()).toBe(50);
    await runOne(store, register(99));
    expect(await rows()).toBe(1);
    await harness.advance(harness.idleMs);
    await store.sweep();
    expect(await rows()).toBe(0);
  });

  it("sweeps everything that has expired, however much it is", async () => {
    const store = harness.open();
    for (let batch = 0; batch < 3; batch++) {
      await store.run(Array.from({ length: 1000 }, (_, index) => register(1 + batch * 1000 + index)));
    }
    await harness.advance(harness.idleMs);
    await store.sweep();
    expect(await rows()).toBe(0);
  });

  it("executes all of a batch, or none of it if one request fails", async () => {
    const store = harness.open();
    const broken = register(2, { idleMs: Number.NaN });
    const responses = await store.run([register(1), broken]);
    expect(responses).toEqual([1, 2].map(() => failedResponse("register", Status.Unavailable)));
    expect(await rows()).toBe(0);
  });
});

describe("EmbeddedStore, when the object does not answer,", () => {
  it("answers Unavailable within its deadline, and no ping", async () => {
    const silence = () => new Promise(() => {});
    const never = { run: silence, ping: silence, sweep: silence, readLog: silence };
    const namespace = { getByName: () => never } as unknown as ConstructorParameters<
      typeof EmbeddedStore
    >[0]["namespace"];
    const store = new EmbeddedStore({ namespace, policy: testPolicy(1000), deadlineMs: 100 });
    expect(await store.run([register(1)])).toEqual([failedResponse("register", Status.Unavailable)]);
    expect(await store.ping()).toBe(false);
    expect(await store.readLog({ after: null, limit: 1 })).toEqual({ kind: "unavailable" });
    await store.sweep();
  });
});
