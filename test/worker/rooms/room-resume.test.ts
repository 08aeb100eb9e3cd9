import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { Presence } from "../../../protocol/player-packets.ts";
import { createSession } from "../routes/edge-client.ts";
import { joinAs, newRoom, ringAlarm, setClockAhead } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const RETENTION_MS = 30_000;

/** What `watcher` was told of a user while it was there. */
function statesOf(watcher: RoomPlayer, user: string): Presence[] {
  const told = watcher.all("presence").filter((presence) => presence.user === user && presence.offset > 0);
  return told.map(({ state }) => state);
}

describe("a player that reconnects", () => {
  it("receives what it missed, once and in order, and sends what the room missed", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const lee = await joinAs(room, "lee");
    const before = await RoomPlayer.join(room, token);
    const { epoch, member } = await before.first("joined");
    before.publish(1, "one");
    await before.heard(1);
    const { offset: delivered } = await before.first("deliver");
    before.drop();
    await lee.until(() => statesOf(lee, "kim").includes(Presence.Held));
    lee.publish(1, "two");
    await lee.heard(2);

    const after = await RoomPlayer.dial(room, token);
    after.send(joinPacket(room, { epoch, delivered, attempt: 2 }));
    after.send(
      { kind: "publish", seq: 1, to: 0, body: new TextEncoder().encode("one") },
      { kind: "publish", seq: 2, to: 0, body: new TextEncoder().encode("three") },
    );
    expect(await after.first("joined")).toMatchObject({ resumed: true, member, epoch, offset: delivered, received: 1 });
    expect(await after.heard(2)).toEqual(["two", "three"]);
    expect(await lee.heard(3)).toEqual(["one", "two", "three"]);
    await after.until(() => after.all("ack").at(-1)?.position === 2);
    expect(statesOf(lee, "kim")).toEqual([Presence.Joined, Presence.Held, Presence.Resumed]);
  });

  it("replaces its own older connection at once", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const lee = await joinAs(room, "lee");
    const older = await RoomPlayer.join(room, token);
    const { epoch } = await older.first("joined");
    const newer = await RoomPlayer.dial(room, token);
    newer.send(joinPacket(room, { epoch, attempt: 2 }));
    expect(await newer.first("joined")).toMatchObject({ resumed: true });
    expect(await older.closed()).toBe(ClosedCode.Replaced);
    newer.publish(1, "still here");
    expect(await lee.heard(1)).toEqual(["still here"]);
    expect(statesOf(lee, "kim")).toEqual([Presence.Joined]);
  });

  it("does not replace a newer connection with a late Join", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const first = await RoomPlayer.join(room, token, { attempt: 5 });
    const { epoch } = await first.first("joined");
    const late = await RoomPlayer.dial(room, token);
    late.send(joinPacket(room, { epoch, attempt: 4 }));
    expect(await late.closed()).toBe(ClosedCode.Replaced);
    first.publish(1, "mine");
    expect(await first.heard(1)).toEqual(["mine"]);
  });

  it("gets the same seat after a page reload, with the seq that the room has received", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const before = await RoomPlayer.join(room, token);
    before.publish(1, "one");
    await before.until(() => before.all("ack").at(-1)?.position === 1);
    const after = await RoomPlayer.join(room, token);
    expect(await after.first("joined")).toMatchObject({ resumed: false, member: 1, received: 1 });
    expect(after.said).toEqual(["one"]);
  });

  it("gets a fresh join if its epoch is not that of the log", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const { epoch } = await (await RoomPlayer.join(room, token)).first("joined");
    const player = await RoomPlayer.join(room, token, { epoch: epoch + 1, delivered: 1000, attempt: 2 });
    expect(await player.first("joined")).toMatchObject({ resumed: false, epoch, member: 1 });
  });

  it("leaves after 30 s, and then joins as a new member", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const lee = await joinAs(room, "lee");
    const before = await RoomPlayer.join(room, token);
    const { epoch, member } = await before.first("joined");
    before.drop();
    await lee.until(() => statesOf(lee, "kim").includes(Presence.Held));
    await setClockAhead(room, RETENTION_MS - 5_000);
    await ringAlarm(room);
    lee.publish(1, "still held");
    await lee.heard(1);
    expect(statesOf(lee, "kim")).toEqual([Presence.Joined, Presence.Held]);

    await setClockAhead(room, RETENTION_MS);
    expect(await ringAlarm(room)).toBe(true);
    await lee.until(() => statesOf(lee, "kim").includes(Presence.Left));
    const after = await RoomPlayer.join(room, token, { epoch, attempt: 2 });
    expect(await after.first("joined")).toMatchObject({ resumed: false, member: member + 1, received: 0 });
    await lee.until(() => statesOf(lee, "kim").length === 4);
    expect(statesOf(lee, "kim")).toEqual([Presence.Joined, Presence.Held, Presence.Left, Presence.Joined]);
  });

  it("loses its seat at once when it leaves", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const before = await RoomPlayer.join(room, token);
    const { epoch } = await before.first("joined");
    before.send({ kind: "leave" });
    expect(await before.closed()).toBe(ClosedCode.Left);
    const after = await RoomPlayer.join(room, token, { epoch, attempt: 2 });
    expect(await after.first("joined")).toMatchObject({ resumed: false, member: 2 });
  });
});
