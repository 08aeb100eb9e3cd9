import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import type { PlayerPacket } from "../../../protocol/player-packets.ts";
import { SqliteRoomStorage } from "../../../worker/rooms/sqlite-room-storage.ts";
import { askAsService, createSession } from "../routes/edge-client.ts";
import { evict, joinAs, newRoom, ringAlarm, roomObject, setClockAhead } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const HOUR_MS = 60 * 60 * 1000;

/** Each of these says or does the same 24 times, which no budget slows down; resolves when the room has it all. */
async function flood(room: string, users: readonly string[], packet: PlayerPacket): Promise<void> {
  const players = await Promise.all(users.map((user) => joinAs(room, user)));
  for (const player of players) {
    for (let at = 0; at < 24; at++) player.send(packet.kind === "publish" ? { ...packet, seq: at + 1 } : packet);
    player.send({ kind: "leave" });
    await player.closed();
  }
}

describe("a room's bounds", () => {
  it("let a player without Acks have 512 KiB, close it as too slow after 30 s, and let it resume", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const lazy = await RoomPlayer.join(room, token);
    const { epoch } = await lazy.first("joined");
    await flood(room, ["lee", "park", "ray"], { kind: "publish", seq: 0, to: 0, body: new Uint8Array(16_000) });
    // 512 KiB / (16,000 + 20 bytes of header) = 32.7
    expect(lazy.all("deliver").length).toBe(33);
    lazy.send({ kind: "ack", position: lazy.all("deliver").at(-20)?.offset ?? 0 });
    // What it says itself is acknowledged meanwhile.
    lazy.publish(1, "still here");
    await lazy.until(() => lazy.all("ack").at(-1)?.position === 1);
    expect([lazy.all("deliver").length, lazy.closeCode]).toEqual([33, undefined]);
    await setClockAhead(room, 31_000);
    await ringAlarm(room);
    expect(await lazy.closed()).toBe(ClosedCode.TooSlow);
    const offset = lazy.all("deliver").at(-1)?.offset ?? 0;
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, delivered: offset, attempt: 2 }));
    expect(await back.first("joined")).toMatchObject({ resumed: true, offset });
    // 256 KiB are sent ahead.
    for (const count of [16, 32, 72 - 33 + 1]) {
      await back.heard(count);
      back.send({ kind: "ack", position: back.all("deliver").at(-1)?.offset ?? 0 });
    }
    expect(back.all("gap")).toEqual([]);
  });

  it("drop datagrams to a silent player after 1 MiB, until it pings", async () => {
    const room = newRoom();
    const quiet = await joinAs(room, "quiet");
    const datagram = { kind: "datagram", member: 0, body: new Uint8Array(16_376) } as const;
    await flood(room, ["lee", "park", "ray"], datagram);
    // 1 MiB / 16 KiB = 64
    expect(quiet.all("datagram").length).toBe(64);
    quiet.sendRaw("ping");
    await quiet.until(() => quiet.texts.length > 0);
    await flood(room, ["kim", "sue", "tom"], datagram);
    expect(quiet.all("datagram").length).toBe(128);
  });

  it("give a new member the last 50 messages, without private ones of others", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    for (let seq = 1; seq <= 60; seq++) kim.publish(seq, `message ${seq}`, seq === 30 ? 1 : 0);
    await kim.heard(60);
    const lee = await joinAs(room, "lee");
    expect(lee.said).toEqual(
      Array.from({ length: 50 }, (_, index) => `message ${index + 11}`)
        .filter((text) => text !== "message 30")
        .toSpliced(0, 0, "message 10"),
    );
  });

  it("refuse a player while the room is full", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    await runInDurableObject(roomObject(room), (_, { storage }) => {
      const kept = SqliteRoomStorage.find(storage);
      const seat = { start: 0, received: 0, attempt: 1, heldSinceMs: Date.now() };
      kept?.transaction(() => {
        for (let member = 2; member <= 1000; member++) {
          kept.saveSeat({ ...seat, member, session: `1.${member}`, user: "somebody" });
        }
      });
    });
    await evict(room);
    const { token } = await createSession();
    const refused = await RoomPlayer.dial(room, token);
    refused.send(joinPacket(room));
    expect(await refused.closed()).toBe(ClosedCode.RoomFull);
    kim.send({ kind: "leave" });
    await kim.closed();
    expect((await (await RoomPlayer.join(room, token)).first("joined")).resumed).toBe(false);
  });

  it("report the exact gap to a player whose missed messages were trimmed", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const before = await RoomPlayer.join(room, token);
    const { epoch, offset } = await before.first("joined");
    const lee = await joinAs(room, "lee");
    for (let seq = 1; seq <= 5; seq++) lee.publish(seq, `old ${seq}`);
    await lee.heard(5);
    // Everything that is older than an hour goes with the next message.
    await setClockAhead(room, HOUR_MS + 60_000);
    lee.publish(6, "new");
    await lee.heard(6);
    const back = await RoomPlayer.join(room, token, { epoch, delivered: offset, attempt: 2 });
    const last = lee.all("deliver").at(-1)?.offset ?? 0;
    expect(back.all("gap")).toEqual([{ kind: "gap", from: offset + 1, to: last - 1 }]);
    expect(back.said).toEqual(["new"]);
  });

  it("keep the log at 10,000 entries", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const body = new Uint8Array();
    for (let seq = 0; seq < 10_200; ) {
      // Its budget lets 500 messages a second through.
      await setClockAhead(room, seq * 2);
      kim.send(...Array.from({ length: 200 }, () => ({ kind: "publish", seq: ++seq, to: 0, body }) as const));
      await kim.heard(seq);
      kim.send({ kind: "ack", position: kim.all("deliver").at(-1)?.offset ?? 0 });
    }
    const rows = () =>
      runInDurableObject(roomObject(room), (_, { storage }) =>
        storage.sql.exec("SELECT COUNT(*) AS n, MIN(offset) AS first, MAX(offset) AS last FROM log").one(),
      );
    await expect.poll(rows, { timeout: 30_000 }).toEqual({ n: 10_000, first: 202, last: 10_201 });
    expect(kim.closeCode).toBeUndefined();
  });

  it("slow down a member above its budget, and close only that member if it does not wait", async () => {
    const room = newRoom();
    const quiet = await joinAs(room, "quiet");
    const mallory = await joinAs(room, "mallory");
    const body = new Uint8Array(16_000);
    const say = (from: number, count: number) =>
      mallory.send(
        ...Array.from({ length: count }, (_, at) => ({ kind: "publish", seq: from + at, to: 0, body }) as const),
      );
    say(1, 40);
    await quiet.heard(33);
    quiet.send({ kind: "ack", position: quiet.all("deliver").at(-1)?.offset ?? 0 });
    // Seven of them wait, and go at 256 KiB a second.
    await quiet.heard(40);
    expect([mallory.closeCode, quiet.closeCode]).toEqual([undefined, undefined]);
    say(41, 40);
    expect(await mallory.closed()).toBe(ClosedCode.TooFast);
    expect(quiet.closeCode).toBeUndefined();
  });

  it("give a user at most ten seats at a time", async () => {
    const room = newRoom();
    const user = `many-${room}`;
    const seats = await Promise.all(Array.from({ length: 10 }, () => joinAs(room, user)));
    const { token } = await createSession({ user });
    const refused = await RoomPlayer.dial(room, token);
    refused.send(joinPacket(room));
    expect(await refused.closed()).toBe(ClosedCode.RoomFull);
    await joinAs(room, "somebody-else");
    seats[0]?.send({ kind: "leave" });
    await seats[0]?.closed();
    expect(await (await RoomPlayer.join(room, token)).first("joined")).toMatchObject({ resumed: false });
  });

  it("keep the newest four connections of a session that have not joined", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const players: RoomPlayer[] = [];
    for (let count = 0; count < 6; count++) players.push(await RoomPlayer.dial(room, token));
    expect(await players[0]?.closed()).toBe(ClosedCode.Unavailable);
    expect(await players[1]?.closed()).toBe(ClosedCode.Unavailable);
    players[5]?.send(joinPacket(room));
    await players[5]?.first("ack");
    expect(players.slice(2).map(({ closeCode }) => closeCode)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it("close a connection that does not join within 5 s", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const player = await RoomPlayer.dial(room, token);
    await setClockAhead(room, 4_000);
    await ringAlarm(room);
    expect(player.closeCode).toBeUndefined();
    await setClockAhead(room, 6_000);
    await ringAlarm(room);
    expect(await player.closed()).toBe(ClosedCode.TooSlow);
    expect(player.all("joined")).toEqual([]);
  });

  it("delete a room that was empty for an hour, and give the next one another epoch", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const kim = await RoomPlayer.join(room, token);
    const { epoch } = await kim.first("joined");
    kim.publish(1, "soon forgotten");
    await kim.heard(1);
    kim.send({ kind: "leave" });
    await kim.closed();
    await setClockAhead(room, HOUR_MS - 60_000);
    await ringAlarm(room);
    const view = async () => (await askAsService("GET", `/v1/rooms/${room}`)).json<{ epoch: number }>();
    expect((await view()).epoch).toBe(epoch);
    await setClockAhead(room, HOUR_MS);
    expect(await ringAlarm(room)).toBe(true);
    expect(await view()).toEqual({ epoch: 0, offset: 0, members: [] });
    const rows = await runInDurableObject(roomObject(room), (_, { storage }) => [
      ...storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'"),
    ]);
    expect(rows).toEqual([]);
    const after = await RoomPlayer.join(room, token, { epoch, delivered: 3, attempt: 2 });
    expect(await after.first("joined")).toMatchObject({ resumed: false, member: 1, received: 0 });
    expect((await after.first("joined")).epoch).not.toBe(epoch);
    expect(after.said).toEqual([]);
  });
});
