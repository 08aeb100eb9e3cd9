import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { Presence } from "../../../protocol/player-packets.ts";
import type { Bindings } from "../../../worker/app-env.ts";
import { EventHub } from "../../../worker/events/event-hub.ts";
import { openEventHub, openIsolate } from "../../../worker/isolate.ts";
import { ChatRoom } from "../../../worker/rooms/room.ts";
import { runOne } from "../../../worker/session-store/session-store.ts";
import { askAsClient, askAsService, type Created, createSession, newUser } from "../routes/edge-client.ts";
import { evict, newRoom, ringAlarm, roomObject, setClockAhead } from "./room-object.ts";
import { RoomPlayer } from "./room-player.ts";

const bindings = env as unknown as Bindings;
const HOUR_MS = 60 * 60 * 1000;

afterEach(() => {
  vi.restoreAllMocks();
});

function end({ sessid }: Pick<Created, "sessid">): Promise<Response> {
  return askAsService("DELETE", `/v1/sessions/${sessid}`);
}

/** A room whose check of all members does not come for an hour. */
async function newUncheckedRoom(): Promise<string> {
  const room = newRoom();
  await setClockAhead(room, HOUR_MS);
  return room;
}

/** The rooms that the hub has told of something. */
function spyOnRooms() {
  return vi.spyOn(ChatRoom.prototype, "recheck");
}

/** Waits until the hub knows that the session is in the room. */
async function isWatched(room: string, { sessid }: Created): Promise<void> {
  const rows = () =>
    runInDurableObject(openEventHub(bindings), (_, { storage }) =>
      storage.sql.exec("SELECT 1 FROM room_sessions WHERE room = ? AND sessid = ?", room, sessid).toArray(),
    );
  await vi.waitFor(async () => expect(await rows()).toHaveLength(1), { timeout: 30_000, interval: 20 });
}

async function join(room: string, session: Created): Promise<RoomPlayer> {
  const player = await RoomPlayer.join(room, session.token);
  await isWatched(room, session);
  return player;
}

async function stillThere(player: RoomPlayer): Promise<void> {
  player.publish(1, "still here");
  await player.until(() => player.said.includes("still here"));
}

describe("a member whose session has ended is closed at once", () => {
  it("with the reason, and the others hear that it has left", async () => {
    const room = await newUncheckedRoom();
    const [kim, lee] = [await createSession(), await createSession()];
    const [ended, other] = [await join(room, kim), await join(room, lee)];
    await end(kim);
    expect(await ended.closed()).toBe(ClosedCode.SessionInvalid);
    expect(ended.all("closed")[0]?.message).toBe("the session was ended");
    await other.until(() => other.all("presence").some(({ member, state }) => member === 1 && state === Presence.Left));
    await stillThere(other);
  });

  it.each<readonly [string, (session: Created) => Promise<unknown>]>([
    ["its own logout", ({ token }) => askAsClient(token, "/v1/session", { method: "DELETE" })],
    ["the end of all sessions of its user", ({ user }) => askAsService("DELETE", `/v1/users/${user}/sessions`)],
    ["the end of all sessions", () => askAsService("DELETE", "/v1/sessions?confirm=all")],
    ["a refresh that replaces its token", ({ sessid, user }) => askAsService("POST", "/v1/sessions", { sessid, user })],
  ])("by %s", async (_, ending) => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await join(room, session);
    await ending(session);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("in each of its rooms, and with each connection that has not joined yet", async () => {
    const rooms = [await newUncheckedRoom(), await newUncheckedRoom()];
    const session = await createSession();
    const players = [await join(rooms[0] ?? "", session), await join(rooms[1] ?? "", session)];
    players.push(await RoomPlayer.dial(rooms[1] ?? "", session.token));
    await end(session);
    for (const player of players) expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("while the room hibernates", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await join(room, session);
    await evict(room);
    await end(session);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("after the hub has lost its memory", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await join(room, session);
    await evictDurableObject(openEventHub(bindings));
    await end(session);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("if it lost its grant: as Denied", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession({ grants: [`room:${room}`] });
    const player = await join(room, session);
    const { store } = openIsolate(bindings);
    await runOne(store, { kind: "register", ...session, ip: null, grants: ["room:other"] });
    expect(await player.closed()).toBe(ClosedCode.Denied);
  });

  it("if it held a seat only: the seat is gone", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    (await join(room, session)).drop();
    const members = async () =>
      (await (await askAsService("GET", `/v1/rooms/${room}`)).json<{ members: { connected: boolean }[] }>()).members;
    await vi.waitFor(async () => expect(await members()).toMatchObject([{ connected: false }]), { timeout: 30_000 });
    await end(session);
    await vi.waitFor(async () => expect(await members()).toEqual([]), { timeout: 30_000 });
  });
});

describe("a session that ends between the check of its upgrade and the hub's watch", () => {
  it("is closed as soon as the hub watches", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const released = Promise.withResolvers<void>();
    const { watchRoom } = EventHub.prototype;
    vi.spyOn(EventHub.prototype, "watchRoom").mockImplementationOnce(async function (this: EventHub, ...args) {
      await released.promise;
      return watchRoom.apply(this, args);
    });
    const player = await RoomPlayer.join(room, session.token);
    await end(session);
    await stillThere(player);
    released.resolve();
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("is closed before its Join too", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await RoomPlayer.dial(room, session.token);
    await isWatched(room, session);
    await end(session);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });

  it("is closed if the room heard of its end before the connection came", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    await join(room, session);
    const { fetch } = ChatRoom.prototype;
    const ended = Promise.withResolvers<void>();
    const rechecked = spyOnRooms();
    vi.spyOn(ChatRoom.prototype, "fetch").mockImplementationOnce(async function (this: ChatRoom, request) {
      await ended.promise;
      return fetch.call(this, request);
    });
    const dialed = RoomPlayer.dial(room, session.token);
    await vi.waitFor(() => expect(ChatRoom.prototype.fetch).toHaveBeenCalled());
    await end(session);
    await vi.waitFor(() => expect(rechecked.mock.settledResults[0]?.type).toBe("fulfilled"), { timeout: 30_000 });
    ended.resolve();
    expect(await (await dialed).closed()).toBe(ClosedCode.SessionInvalid);
  });
});

describe("a member stays", () => {
  it("if another session of the same number has ended", async () => {
    const room = await newUncheckedRoom();
    const { sessid } = await createSession();
    await end({ sessid });
    const created = await askAsService("POST", "/v1/sessions", { sessid, user: newUser() });
    const player = await join(room, await created.json<Created>());
    expect(await roomObject(room).recheck(new Map([[sessid, "deleted"]]))).toBe(true);
    await stillThere(player);
  });

  it("if its session was refreshed with its token and other grants that allow the room", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await join(room, session);
    const rechecked = spyOnRooms();
    await runOne(openIsolate(bindings).store, { kind: "register", ...session, ip: null, grants: ["room:*"] });
    await vi.waitFor(() => expect(rechecked.mock.settledResults[0]?.type).toBe("fulfilled"), { timeout: 30_000 });
    await stillThere(player);
  });
});

describe("while the hub", () => {
  it.each<readonly [string, () => Promise<void>]>([
    ["hangs", () => new Promise(() => {})],
    ["throws", () => Promise.reject(new Error("overloaded"))],
  ])("%s, players join as ever, and the check every 60 s finds what has ended", async (_, watchRoom) => {
    vi.spyOn(EventHub.prototype, "watchRoom").mockImplementation(watchRoom);
    const room = newRoom();
    const session = await createSession();
    const player = await RoomPlayer.join(room, session.token);
    await end(session);
    await stillThere(player);
    await setClockAhead(room, 60_000);
    await ringAlarm(room);
    expect(await player.closed()).toBe(ClosedCode.SessionInvalid);
  });
});

describe("a room costs the hub", () => {
  it("a few calls for fifty who join at once", async () => {
    const watched = vi.spyOn(EventHub.prototype, "watchRoom");
    const room = await newUncheckedRoom();
    const sessions = await Promise.all(Array.from({ length: 50 }, () => createSession()));
    await Promise.all(sessions.map(({ token }) => RoomPlayer.join(room, token)));
    for (const session of sessions) await isWatched(room, session);
    expect(watched.mock.calls.length).toBeLessThan(25);
    expect(watched.mock.calls.flatMap(([, sessids]) => sessids)).toHaveLength(50);
  });

  it("no call for a member that resumes", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const { epoch } = await (await join(room, session)).first("joined");
    const watched = vi.spyOn(EventHub.prototype, "watchRoom");
    await RoomPlayer.join(room, session.token, { epoch, attempt: 2 });
    const other = await createSession();
    await join(room, other);
    expect(watched.mock.calls).toEqual([[room, [other.sessid], "more"]]);
  });

  it("no row when it is empty", async () => {
    const room = await newUncheckedRoom();
    const session = await createSession();
    const player = await join(room, session);
    player.send({ kind: "leave" });
    await player.closed();
    const rows = () =>
      runInDurableObject(openEventHub(bindings), (_, { storage }) =>
        storage.sql.exec("SELECT 1 FROM room_sessions WHERE room = ?", room).toArray(),
      );
    await vi.waitFor(async () => expect(await rows()).toEqual([]), { timeout: 30_000, interval: 20 });
  });

  it("nothing when somebody who is in another room logs out", async () => {
    const [quiet, busy] = [await newUncheckedRoom(), await newUncheckedRoom()];
    const player = await join(quiet, await createSession());
    const rechecked = spyOnRooms();
    const watched = vi.spyOn(EventHub.prototype, "watchRoom");
    for (let times = 0; times < 5; times++) {
      const session = await createSession();
      const other = await join(busy, session);
      await end(session);
      await other.closed();
    }
    expect(new Set(watched.mock.calls.map(([room]) => room))).toEqual(new Set([busy]));
    expect(rechecked.mock.contexts).toHaveLength(5);
    await stillThere(player);
  });
});

describe("the end of many sessions at once", () => {
  it("closes all of them, in all rooms, and nobody else", async () => {
    const rooms = await Promise.all(Array.from({ length: 10 }, newUncheckedRoom));
    const user = newUser();
    const members = await Promise.all(
      rooms.map(async (room) => {
        const sessions = [await createSession({ user }), await createSession()] as const;
        return [await join(room, sessions[0]), await join(room, sessions[1])] as const;
      }),
    );
    await askAsService("DELETE", `/v1/users/${user}/sessions`);
    for (const [ended, other] of members) {
      expect(await ended.closed()).toBe(ClosedCode.SessionInvalid);
      await stillThere(other);
    }
  });
});
