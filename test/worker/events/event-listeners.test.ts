import { expect, it, vi } from "vitest";
import { DEFAULT_FEED_LIMITS } from "../../../worker/events/event-feed.ts";
import { EventListeners } from "../../../worker/events/event-listeners.ts";
import type { LogPage, LogRead } from "../../../worker/session-store/session-log.ts";

it("leaves the store as much time between the pages of a listener as a page takes", async () => {
  const PAGE_MS = 40;
  const pages: { readonly beganMs: number; readonly endedMs: number }[] = [];
  /** A log of a million events, each of which is a page and stands at its number. */
  const readLog = async ({ after, limit }: LogRead): Promise<LogPage> => {
    if (after === null || limit > DEFAULT_FEED_LIMITS.maxBatch)
      return { kind: "events", events: [], position: "1000000_1_x", more: false };
    const beganMs = Date.now();
    await scheduler.wait(PAGE_MS);
    pages.push({ beganMs, endedMs: Date.now() });
    const position = `${Number.parseInt(after, 10) + 1}_1_x`;
    return {
      kind: "events",
      events: [{ position, at: 0, kind: "began", reason: null, sessid: 1, user: null }],
      position,
      more: true,
    };
  };
  const response = await new EventListeners({ readLog }).listen({ after: "0_1_x", kinds: null, sessid: null });
  const reader = response.body?.getReader();
  const reading = (async () => {
    while (!(await reader?.read())?.done);
  })().catch(() => undefined);
  await vi.waitFor(() => expect(pages.length).toBeGreaterThan(3), { timeout: 5000 });
  await reader?.cancel();
  await reading;
  const pauses = pages.slice(1).map(({ beganMs }, index) => beganMs - (pages[index]?.endedMs ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(PAGE_MS / 2);
});
