import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Bindings } from "../../../worker/app-env.ts";
import { EmbeddedSessions } from "../../../worker/session-store/embedded/embedded-sessions.ts";
import { OutboxTable } from "../../../worker/webhooks/outbox-table.ts";
import type { HeldMessage } from "../../../worker/webhooks/webhook-outbox.ts";
import { WebhookSender } from "../../../worker/webhooks/webhook-sender.ts";
import { askAsService, createSession } from "../routes/edge-client.ts";

const SECRET = `whsec_${btoa("s".repeat(32))}`;
const POLL_MS = 15_000;

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

/** Runs `action` with the storage of an object that no isolate pokes. */
function inObject(action: (state: DurableObjectState) => Promise<void>): Promise<void> {
  const objects = (env as unknown as Bindings).WEBHOOKS;
  return runInDurableObject(objects.getByName("of this test"), (_, state) => action(state));
}

/** A sender of a worker with these variables, on that storage. */
function senderOn(state: DurableObjectState, variables: Readonly<Record<string, string>> = {}): WebhookSender {
  const bindings = { ...env, WEBHOOK_URL: "https://receiver.test/", WEBHOOK_SECRET: SECRET, ...variables };
  return new WebhookSender(state, bindings as unknown as Bindings);
}

/** Answers what is sent to the receiver. */
function receiver(respond: () => Response | Promise<Response>) {
  return vi.spyOn(globalThis, "fetch").mockImplementation(async () => respond());
}

async function endSession(): Promise<void> {
  const { sessid } = await createSession();
  expect((await askAsService("DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
}

describe("the sender of webhooks", () => {
  it("watches the log, and sets its alarm to the next poll", () =>
    inObject(async (state) => {
      const readLog = vi.spyOn(EmbeddedSessions.prototype, "readLog");
      const sender = senderOn(state);
      await sender.poke();
      expect(readLog.mock.calls[0]?.[0]).toMatchObject({ watchMs: 60_000, kinds: new Set(["ended"]) });
      const alarm = (await state.storage.getAlarm()) ?? 0;
      expect(alarm).toBeGreaterThan(Date.now());
      expect(alarm).toBeLessThanOrEqual(Date.now() + POLL_MS);
    }));

  it("has neither an alarm nor a read after a 410, until its receiver changes", () =>
    inObject(async (state) => {
      vi.spyOn(console, "warn").mockImplementation(() => undefined);
      const requests = receiver(() => new Response(null, { status: 410 }));
      const sender = senderOn(state);
      await sender.poke();
      await endSession();
      await sender.poke();
      await vi.waitFor(async () => expect((await sender.status()).state).toBe("disabled"));
      await vi.waitFor(async () => expect(await state.storage.getAlarm()).toBeNull());
      const readLog = vi.spyOn(EmbeddedSessions.prototype, "readLog");
      await senderOn(state).poke();
      expect(await state.storage.getAlarm()).toBeNull();
      expect(readLog).not.toHaveBeenCalled();
      expect(requests).toHaveBeenCalledTimes(1);
      requests.mockImplementation(async () => new Response(null, { status: 204 }));
      const renewed = senderOn(state, { WEBHOOK_URL: "https://other.test/" });
      await renewed.poke();
      await vi.waitFor(async () => expect(await renewed.status()).toMatchObject({ state: "on", held: 0 }));
      expect(requests.mock.calls.map(([url]) => url)).toEqual(["https://receiver.test/", "https://other.test/"]);
    }));

  it("leaves nothing behind without WEBHOOK_URL", () =>
    inObject(async (state) => {
      await senderOn(state).poke();
      expect(await state.storage.getAlarm()).not.toBeNull();
      const off = new WebhookSender(state, env as unknown as Bindings);
      await off.alarm();
      expect(await state.storage.getAlarm()).toBeNull();
      expect(
        state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name IN ('outbox', 'held')").toArray(),
      ).toEqual([]);
      expect(await off.status()).toMatchObject({ state: "off" });
    }));

  it("follows no redirect, reads no body, and says what failed without saying where or what", () =>
    inObject(async (state) => {
      const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
      const body = new ReadableStream({ pull: () => new Promise(() => undefined) });
      const cancel = vi.spyOn(body, "cancel");
      const requests = receiver(
        () => new Response(body, { status: 302, headers: { Location: "https://other.test/" } }),
      );
      const sender = senderOn(state);
      await sender.poke();
      await endSession();
      await sender.poke();
      await vi.waitFor(async () => expect(await sender.status()).toMatchObject({ held: 1, lastError: "302" }));
      expect(requests.mock.calls.map(([, init]) => init?.redirect)).toEqual(["manual"]);
      expect(cancel).toHaveBeenCalledTimes(1);
      expect(warn.mock.calls).toEqual([["the receiver of webhooks fails: 302"]]);
    }));

  it.each([
    ["timeout", new DOMException("took too long: https://receiver.test/", "TimeoutError")],
    ["unreachable", new TypeError("no such host: receiver.test")],
  ])("calls it %s when the request fails so", (lastError, fault) =>
    inObject(async (state) => {
      vi.spyOn(console, "warn").mockImplementation(() => undefined);
      receiver(() => Promise.reject(fault));
      const sender = senderOn(state);
      await sender.poke();
      await endSession();
      await sender.poke();
      await vi.waitFor(async () => expect(await sender.status()).toMatchObject({ held: 1, lastError }));
    }),
  );

  it.each([
    ["a number of seconds", 120_000, () => "120"],
    ["a date", 60_000, () => new Date(Date.now() + 60_000).toUTCString()],
  ])("waits for as long as Retry-After says in %s", (_, ms, retryAfter) =>
    inObject(async (state) => {
      vi.spyOn(console, "warn").mockImplementation(() => undefined);
      const headers = { "Retry-After": retryAfter() };
      const requests = receiver(() => new Response(null, { status: 429, headers }));
      const sender = senderOn(state);
      await sender.poke();
      await endSession();
      await sender.poke();
      await vi.waitFor(() => expect(requests).toHaveBeenCalledTimes(1));
      await vi.waitFor(async () => expect((await sender.status()).held).toBe(1));
      const now = Date.now();
      const clock = vi.spyOn(Date, "now").mockReturnValue(now + ms - 5000);
      await sender.alarm();
      expect(requests).toHaveBeenCalledTimes(1);
      clock.mockReturnValue(now + ms + 1000);
      await sender.alarm();
      await vi.waitFor(() => expect(requests).toHaveBeenCalledTimes(2));
    }),
  );
});

describe("an outbox in SQLite", () => {
  it("has after a restart what it had before", () =>
    inObject(async ({ storage: { sql } }) => {
      const held = (id: string, tries: number): HeldMessage => {
        const sessid = id === "3_1_x" ? null : -7;
        return {
          id,
          sessid,
          at: 1,
          body: `body of ${id}`,
          tries,
          dueAt: 1_800_000_000_000 + tries,
          mayHurry: tries === 1,
        };
      };
      const before = new OutboxTable(sql);
      expect([before.load(), before.loadHeld()]).toEqual([undefined, []]);
      for (const id of ["2_1_x", "1_1_x", "3_1_x", "4_1_x"]) before.hold(held(id, 1));
      before.hold(held("1_1_x", 2));
      before.release("4_1_x");
      const state = { cursor: "5_1_x", isDisabled: true, lastError: "410", pausedUntil: 1, probes: 2, probeAt: 3 };
      before.save(state);
      const after = new OutboxTable(sql);
      expect(after.load()).toEqual(state);
      expect(after.loadHeld()).toEqual([held("2_1_x", 1), held("1_1_x", 2), held("3_1_x", 1)]);
    }));

  it("knows whether its receiver is another one", () =>
    inObject(async ({ storage: { sql } }) => {
      expect(new OutboxTable(sql).replaceReceiver("a")).toBe(true);
      expect(new OutboxTable(sql).replaceReceiver("a")).toBe(false);
      expect(new OutboxTable(sql).replaceReceiver("b")).toBe(true);
    }));
});
