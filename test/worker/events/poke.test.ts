import { createScheduledController, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { DEFAULT_FEED_LIMITS } from "../../../worker/events/event-feed.ts";
import { EventHub } from "../../../worker/events/event-hub.ts";
import worker from "../../../worker/index.ts";
import { openEventHub, openIsolate } from "../../../worker/isolate.ts";
import { EmbeddedSessions } from "../../../worker/session-store/embedded/embedded-sessions.ts";
import { WebhookSender } from "../../../worker/webhooks/webhook-sender.ts";
import { Browser, bindings, migrateAccounts, newName, PASSWORD } from "../browser/browser.ts";
import { askAsClient, askAsService, type Created, createSession, newUser } from "../routes/edge-client.ts";
import { embeddedObject } from "../session-store/embedded/embedded-harness.ts";
import { EventListener } from "./event-listener.ts";

/** Longer than any test. */
const WATCH_MS = 600_000;

beforeAll(migrateAccounts);
/** A write may be poked for 20 ms after the poke before. */
const lastPoke = () => scheduler.wait(40);

afterEach(async () => {
  await lastPoke();
  vi.restoreAllMocks();
  await reset();
  await migrateAccounts();
});

const watch = () => openIsolate(bindings).store.readLog({ after: null, limit: 1, watchMs: WATCH_MS });

const end = ({ sessid }: Pick<Created, "sessid">) => askAsService("DELETE", `/v1/sessions/${sessid}`);

/** Replaces the event hub's poke, and counts its calls. */
function spyOnPokes(poke: () => Promise<void> = async () => {}) {
  return vi.spyOn(EventHub.prototype, "poke").mockImplementation(poke);
}

describe("the event hub is poked, while somebody watches, by", () => {
  const signedUp = async () => {
    const [browser, name] = [new Browser(), newName()];
    await browser.signUp(name);
    return { browser, name };
  };

  const ways: [what: string, prepare: () => Promise<() => Promise<unknown>>][] = [
    [
      "a service's delete of a session",
      async () => {
        const session = await createSession();
        return () => end(session);
      },
    ],
    [
      "a service's delete of a user's sessions",
      async () => {
        const { user } = await createSession();
        return () => askAsService("DELETE", `/v1/users/${user}/sessions`);
      },
    ],
    [
      "the end of all sessions",
      async () => {
        await createSession();
        return () => askAsService("DELETE", "/v1/sessions?confirm=all");
      },
    ],
    [
      "a refresh that takes grants",
      async () => {
        const { user, sessid } = await createSession({ grants: ["a", "b"] });
        return () => askAsService("POST", "/v1/sessions", { user, sessid, grants: ["a"] });
      },
    ],
    [
      "a client's delete of its own session",
      async () => {
        const { token } = await createSession();
        return () => askAsClient(token, "/v1/session", { method: "DELETE" });
      },
    ],
    [
      "a logout",
      async () => {
        const { browser } = await signedUp();
        return () => browser.submit("/logout", {});
      },
    ],
    [
      "a login that replaces the browser's session",
      async () => {
        const { browser, name } = await signedUp();
        return () => browser.logIn(name);
      },
    ],
    [
      "a change of the password, which ends the other sessions",
      async () => {
        const { browser, name } = await signedUp();
        await new Browser().logIn(name);
        return () =>
          browser.submit("/me/password", { current: PASSWORD, password: `${PASSWORD} two`, again: `${PASSWORD} two` });
      },
    ],
    [
      "the end of a user's other sessions",
      async () => {
        const { browser, name } = await signedUp();
        await new Browser().logIn(name);
        return () => browser.submit("/me/sessions/end-others", { password: PASSWORD });
      },
    ],
    [
      "an owner's delete of the account",
      async () => {
        const { browser } = await signedUp();
        return () => browser.submit("/me/delete", { password: PASSWORD });
      },
    ],
    [
      "a service that disables an account",
      async () => {
        const { name } = await signedUp();
        return () => askAsService("PATCH", `/v1/accounts/${name}`, { disabled: true });
      },
    ],
    [
      "a service's delete of an account",
      async () => {
        const { name } = await signedUp();
        return () => askAsService("DELETE", `/v1/accounts/${name}`);
      },
    ],
  ];
  it.each(ways)("%s", async (_, prepare) => {
    const act = await prepare();
    await lastPoke();
    const poke = spyOnPokes();
    await watch();
    expect(poke).not.toHaveBeenCalled();
    await act();
    await vi.waitFor(() => expect(poke).toHaveBeenCalled());
  });

  it("a sweep that finds expired sessions", async () => {
    const poke = spyOnPokes();
    // First: a read of the log would write the ends that the sweep is to find.
    await watch();
    const brief = { user: newUser(), ttlSeconds: 1 };
    const { sessid } = await (await askAsService("POST", "/v1/sessions", brief)).json<Created>();
    while ((await askAsService("GET", `/v1/sessions/${sessid}`)).status !== 404) await scheduler.wait(50);
    expect(poke).not.toHaveBeenCalled();
    await worker.scheduled(createScheduledController(), bindings);
    await vi.waitFor(() => expect(poke).toHaveBeenCalled());
  });
});

describe("the event hub is not poked", () => {
  it("by a write while nobody watches", async () => {
    const poke = spyOnPokes();
    await end(await createSession());
    const session = await createSession();
    await watch();
    await end(session);
    await vi.waitFor(() => expect(poke).toHaveBeenCalled());
    expect(poke).toHaveBeenCalledTimes(1);
  });

  it("by a write a minute after the last listener has gone; a poke before that has nothing read", async () => {
    const listener = await EventListener.open();
    await listener.until((blocks) => blocks.length > 0);
    const [reads, poke] = [vi.spyOn(EmbeddedSessions.prototype, "readLog"), vi.spyOn(EventHub.prototype, "poke")];
    await listener.close();
    // The hub notices when it writes to the listener, and then polls no more.
    for (let before = -1; before !== reads.mock.calls.length; ) {
      await createSession();
      before = reads.mock.calls.length;
      await scheduler.wait(2 * DEFAULT_FEED_LIMITS.pollMs);
    }
    reads.mockClear();
    await end(await createSession());
    await vi.waitFor(() => expect(poke).toHaveBeenCalledTimes(1));
    await poke.mock.results[0]?.value;
    expect(reads).not.toHaveBeenCalled();

    await runInDurableObject(embeddedObject(), (object) => {
      const laterMs = Date.now() + DEFAULT_FEED_LIMITS.watchMs;
      object.nowMs = () => laterMs;
    });
    await end(await createSession());
    // The poke of the end, if there was one, would have come before this one.
    await openEventHub(bindings).poke();
    expect(poke).toHaveBeenCalledTimes(2);
  });

  it("by a beginning, a check or a plain refresh", async () => {
    const poke = spyOnPokes();
    await watch();
    const { user, sessid, token } = await createSession();
    await askAsClient(token, "/v1/check");
    await askAsService("POST", "/v1/sessions", { user, sessid });
    await askAsService("POST", "/v1/sessions/check", { sessids: [sessid] });
    await end({ sessid });
    await vi.waitFor(() => expect(poke).toHaveBeenCalled());
    expect(poke).toHaveBeenCalledTimes(1);
  });
});

describe("the sender of webhooks is poked", () => {
  const configured = {
    ...bindings,
    WEBHOOK_URL: "https://site.test/hook",
    WEBHOOK_SECRET: `whsec_${btoa("x".repeat(32))}`,
  };

  it("if it has a receiver, beside an event hub that never answers", async () => {
    spyOnPokes(() => new Promise(() => {}));
    const poke = vi.spyOn(WebhookSender.prototype, "poke").mockResolvedValue();
    const { store } = openIsolate(configured);
    await watch();
    for (const pokes of [1, 2]) {
      await store.run([{ kind: "delete", sessid: 1 }]);
      await vi.waitFor(() => expect(poke).toHaveBeenCalledTimes(pokes));
    }
  });

  it("not if it has none", async () => {
    const [poke, hub] = [vi.spyOn(WebhookSender.prototype, "poke"), spyOnPokes()];
    await watch();
    for (const pokes of [1, 2]) {
      await end(await createSession());
      await vi.waitFor(() => expect(hub).toHaveBeenCalledTimes(pokes));
    }
    expect(poke).not.toHaveBeenCalled();
  });
});

describe("writes while somebody watches", () => {
  it.each<readonly [string, () => Promise<void>]>([
    ["never answers", () => new Promise(() => {})],
    ["fails", () => Promise.reject(new Error("overloaded"))],
  ])("are answered without waiting for a hub that %s", async (_, poke) => {
    const pokes = spyOnPokes(poke);
    await watch();
    const sessions = await Promise.all(Array.from({ length: 10 }, () => createSession()));
    const beganAt = Date.now();
    for (const session of sessions) expect((await end(session)).status).toBe(204);
    // Each that waited for its own poke would have taken the second after which that counts as failed.
    expect(Date.now() - beganAt).toBeLessThan(sessions.length * 1000);
    await vi.waitFor(() => expect(pokes).toHaveBeenCalled());
  });

  it("poke again after pokes that failed", async () => {
    const poke = spyOnPokes(() => Promise.reject(new Error("the hub was reset")));
    await watch();
    await end(await createSession());
    await vi.waitFor(() => expect(poke).toHaveBeenCalledTimes(1));
    await end(await createSession());
    await vi.waitFor(() => expect(poke).toHaveBeenCalledTimes(2));
  });

  it("poke at most once in 20 ms, however many there are, and once after the last", async () => {
    const poke = spyOnPokes();
    await watch();
    const sessions = await Promise.all(Array.from({ length: 50 }, () => createSession()));
    const before = poke.mock.calls.length;
    const beganMs = Date.now();
    await Promise.all(sessions.map(end));
    const last = poke.mock.calls.length;
    await end(await createSession());
    await vi.waitFor(() => expect(poke.mock.calls.length).toBeGreaterThan(last));
    expect(poke.mock.calls.length - before).toBeLessThanOrEqual(2 + (Date.now() - beganMs) / 20);
  });

  it("poke again while a hub hangs, without waiting for the pokes before", async () => {
    const poke = spyOnPokes(() => new Promise(() => {}));
    await watch();
    const beganMs = Date.now();
    for (let pokes = 1; pokes <= 10; pokes++) {
      await end(await createSession());
      await vi.waitFor(() => expect(poke.mock.calls.length).toBeGreaterThanOrEqual(pokes), { timeout: 3000 });
    }
    // One that waited for the one before would begin when that counts as failed, after a second.
    expect(Date.now() - beganMs).toBeLessThan(5000);
  });
});
