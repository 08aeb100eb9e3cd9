import { reset } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import { askAsService, createSession } from "../routes/edge-client.ts";
import { EventListener } from "./event-listener.ts";

const listeners: EventListener[] = [];

async function listen(query = "", headers: Readonly<Record<string, string>> = {}): Promise<EventListener> {
  const listener = await EventListener.open(query, headers);
  listeners.push(listener);
  return listener;
}

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
  await reset();
});

describe("GET /v1/events", () => {
  it("streams what becomes of a session", async () => {
    const listener = await listen();
    const { sessid, user } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    const events = await listener.events(2);
    expect(listener.blocks[0]).toEqual({ event: undefined, id: expect.any(String), data: undefined, isComment: true });
    expect(events.map(({ event }) => event)).toEqual(["began", "ended"]);
    expect(events[1]?.data).toEqual({
      position: events[1]?.id,
      at: expect.any(Number),
      kind: "ended",
      reason: "deleted",
      sessid,
      user,
    });
  });
});
