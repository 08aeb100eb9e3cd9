import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { failedResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { EventHub } from "../../../worker/events/event-hub.ts";
import { openIsolate } from "../../../worker/isolate.ts";
import { findInvalidSessions } from "../../../worker/rooms/room-admission.ts";
import { runOne, type SessionStore } from "../../../worker/session-store/session-store.ts";
import { askAsService, type Created, createSession, newUser } from "../routes/edge-client.ts";
import { embeddedObject } from "../session-store/embedded/embedded-harness.ts";
import { evict, newRoom, ringAlarm, roomObject, setClockAhead } from "./room-object.ts";
import { RoomPlayer } from "./room-player.ts";

const RECHECK_MS = 60_000;

/** Lets the room's next check of its members' sessions come now. */
async function recheck(room: string): Promise<void> {
  await setClockAhead(room, RECHECK_MS);
  expect(await ringAlarm(room)).toBe(true);
}

// The event hub tells this room nothing, as if it were never poked.
beforeEach(() => {
  vi.spyOn(EventHub.prototype, "watchRoom").mockResolvedValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function stillThere(player: RoomPlayer): Promise<void> {
  const seq = player.said.length + 1;
  player.publish(seq, "still here");
  await player.heard(seq);
}

describe("a room, every 60 s,", () => {
  it("closes only the member whose session has ended", async () => {
    const room = newRoom();
    const [kim, lee] = [await createSession(), await createSession()];
    const [players, others] = [await RoomPlayer.join(room, kim.token), await RoomPlayer.join(room, lee.token)];
    await askAsService("DELETE", `/v1/sessions/${kim.sessid}`);
    await recheck(room);
    expect(await players.closed()).toBe(ClosedCode.SessionInvalid);
    await stillThere(others);
    const { members } = await (await askAsService("GET", `/v1/rooms/${room}`)).json<{ members: unknown[] }>();
    expect(members).toEqual([{ member: 2, user: lee.user, connected: true }]);
  });

  it("does so after hibernation too", async () => {
    const room = newRoom();
    const { token, sessid } = await createSession();
    const player = await RoomPlayer.join(room, token);
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    await evict(room);
    await recheck(room);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("closes the member whose sessid now belongs to another user", async () => {
    const room = newRoom();
    const { token, sessid } = await createSession();
    const player = await RoomPlayer.join(room, token);
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    expect((await askAsService("POST", "/v1/sessions", { sessid, user: newUser() })).status).toBe(201);
    await recheck(room);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("keeps the seat of a session that was registered again with its token, over TCP", async () => {
    const room = newRoom();
    const { token, sessid, user } = await createSession();
    const player = await RoomPlayer.join(room, token);
    const { store } = openIsolate(env as unknown as Bindings);
    expect(await runOne(store, { kind: "register", sessid, user, ip: null })).toMatchObject({ status: Status.Ok });
    await recheck(room);
    await stillThere(player);
    expect((await (await RoomPlayer.join(room, token)).first("joined")).member).toBe(1);
  });

  it("closes the member whose token was replaced, over HTTP", async () => {
    const room = newRoom();
    const { token, sessid, user } = await createSession();
    const player = await RoomPlayer.join(room, token);
    const renewed = await (await askAsService("POST", "/v1/sessions", { sessid, user })).json<Created>();
    await recheck(room);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
    expect((await (await RoomPlayer.join(room, renewed.token)).first("joined")).member).toBe(2);
  });

  it("closes the member that lost its grant", async () => {
    const room = newRoom();
    const { token, sessid, user } = await createSession({ grants: [`room:${room}`] });
    const player = await RoomPlayer.join(room, token);
    const { store } = openIsolate(env as unknown as Bindings);
    await runOne(store, { kind: "register", sessid, user, ip: null, grants: ["room:other"] });
    await recheck(room);
    expect(await player.closed()).toBe(ClosedCode.Denied);
  });

  it("renews the sessions of its members", async () => {
    const room = newRoom();
    const { token, sessid } = await createSession();
    const expiry = async () => (await (await askAsService("GET", `/v1/sessions/${sessid}`)).json<Created>()).expiresAt;
    const player = await RoomPlayer.join(room, token);
    const before = await expiry();
    await runInDurableObject(embeddedObject(), (sessions) => {
      sessions.nowMs = () => Date.now() + 10 * 60_000;
    });
    await recheck(room);
    await expect.poll(expiry, { timeout: 30_000 }).toBeGreaterThanOrEqual(before + 10 * 60_000);
    await stillThere(player);
  });

  it("closes a silent connection, and keeps one that pings", async () => {
    const room = newRoom();
    const [dead, alive] = [await createSession({ user: "dead" }), await createSession({ user: "alive" })];
    const [silent, pinging] = [await RoomPlayer.join(room, dead.token), await RoomPlayer.join(room, alive.token)];
    // The runtime's clock of pings is the real one: both were last heard 80 s ago, then one is heard now.
    await runInDurableObject(roomObject(room), (object) => {
      object.nowMs = () => Date.now() - 200_000;
    });
    silent.publish(1, "the last");
    pinging.publish(1, "not the last");
    await silent.heard(2);
    pinging.sendRaw("ping");
    await pinging.until(() => pinging.texts.length === 1);
    await setClockAhead(room, RECHECK_MS);
    await ringAlarm(room);
    expect(await silent.closed()).toBe(ClosedCode.GoingAway);
    pinging.publish(2, "still here");
    await pinging.heard(3);
  });
});

describe("findInvalidSessions", () => {
  it("finds none while the store is unavailable", async () => {
    const down: SessionStore = {
      run: async (requests) => requests.map(({ kind }) => failedResponse(kind, Status.Unavailable)),
      readLog: async () => ({ kind: "unavailable" }),
      endAll: async () => ({ ended: 0, complete: false }),
      ping: async () => false,
      sweep: async () => undefined,
    };
    const { sessid } = await createSession();
    expect(await findInvalidSessions(down, "lobby", [`${sessid}.secret`])).toEqual([]);
    const { store } = openIsolate(env as unknown as Bindings);
    expect(await findInvalidSessions(store, "lobby", [`${sessid}.secret`])).toHaveLength(1);
  });
});
