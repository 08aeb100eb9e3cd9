import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { SqliteRoomStorage } from "../../../worker/rooms/storage/sqlite-room-storage.ts";
import { askAsService, createSession } from "../routes/edge-client.ts";
import { evict, joinAs, newRoom, ringAlarm, roomObject, setClockAhead } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const HOUR_MS = 60 * 60 * 1000;

describe("a room's bounds", () => {
  it("close a player who never acknowledges after 1 MiB, and let it resume", async () => {
    const room = newRoom();
    const { token } = await createSession();
    const lazy = await RoomPlayer.join(room, token);
    const { epoch } = await lazy.first("joined");
    const lee = await joinAs(room, "lee");
    const body = new Uint8Array(16_000).fill(120);
    let seq = 0;
    while (lazy.closeCode === undefined) {
      seq += 1;
      lee.send({ kind: "publish", seq, to: 0, body });
      await lee.heard(seq);
      lee.send({ kind: "ack", position: lee.all("deliver").at(-1)?.offset ?? 0 });
      expect(seq).toBeLessThan(100);
    }
    expect(await lazy.closed()).toBe(ClosedCode.TooSlow);
    // 1 MiB / (16,000 + 20 bytes of header) = 65.4
    expect(lazy.all("deliver").length).toBe(66);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, delivered: lazy.all("deliver").at(-1)?.offset ?? 0, attempt: 2 }));
    expect(await back.first("joined")).toMatchObject({ resumed: true });
  });

  it("drop datagrams to a player of whom nothing is heard after 1 MiB, until it pings", async () => {
    const room = newRoom();
    const quiet = await joinAs(room, "quiet");
    const lee = await joinAs(room, "lee");
    const body = new Uint8Array(16_376);
    const flood = async (seq: number) => {
      for (let sent = 0; sent < 70; sent++) lee.send({ kind: "datagram", member: 0, body });
      lee.publish(seq, "flooded");
      await quiet.heard(seq);
      return quiet.all("datagram").length;
    };
    // 1 MiB / 16 KiB = 64
    expect(await flood(1)).toBe(64);
    quiet.sendRaw("ping");
    await quiet.until(() => quiet.texts.length > 0);
    expect(await flood(2)).toBe(128);
  });

  it("give a newcomer the last 50 messages, and no private ones of others", async () => {
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

  it("refuse a player when the room is full, until somebody leaves", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    await runInDurableObject(roomObject(room), (_, { storage }) => {
      const kept = SqliteRoomStorage.find(storage);
      const seat = { start: 0, received: 0, attempt: 1, heldSinceMs: Date.now() };
      kept?.turn(() => {
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

  it("tell a player what it missed for good", async () => {
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

  it("keep the log at 10,000 entries, however much is said", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const body = new Uint8Array();
    for (let seq = 0; seq < 10_200; ) {
      kim.send(...Array.from({ length: 200 }, () => ({ kind: "publish", seq: ++seq, to: 0, body }) as const));
      await kim.heard(seq);
      kim.send({ kind: "ack", position: kim.all("deliver").at(-1)?.offset ?? 0 });
    }
    const rows = await runInDurableObject(roomObject(room), (_, { storage }) =>
      storage.sql.exec("SELECT COUNT(*) AS n, MIN(offset) AS first, MAX(offset) AS last FROM log").one(),
    );
    expect(rows).toEqual({ n: 10_000, first: 202, last: 10_201 });
    expect(kim.closeCode).toBeUndefined();
  });

  it("close a connection that does not join within 5 s", async () => {
    const { token } = await createSession();
    const player = await RoomPlayer.dial(newRoom(), token);
    await player.closed();
    expect(player.all("joined")).toEqual([]);
  });

  it("end with the room: empty for an hour it is deleted, and the next is another incarnation", async () => {
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
