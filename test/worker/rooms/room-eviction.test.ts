import { describe, expect, it } from "vitest";
import { Presence } from "../../../protocol/player-packets.ts";
import { createSession } from "../routes/edge-client.ts";
import { evict, joinAs, newRoom, ringAlarm, setClockAhead } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

const texts = (count: number) => Array.from({ length: count }, (_, index) => `message ${index + 1}`);

/** Publishes `message <seq>` for each seq, in one WebSocket message. */
function publishAll(player: RoomPlayer, from: number, to: number): void {
  const utf8 = new TextEncoder();
  const seqs = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  player.send(...seqs.map((seq) => ({ kind: "publish", seq, to: 0, body: utf8.encode(`message ${seq}`) }) as const));
}

describe("a room that loses its memory", () => {
  it("continues with its connected members", async () => {
    const room = newRoom();
    const [kim, lee] = [await joinAs(room, "kim"), await joinAs(room, "lee")];
    for (let round = 0; round < 5; round++) {
      publishAll(kim, round * 10 + 1, round * 10 + 10);
      await lee.heard(round * 10 + 5);
      await evict(room);
    }
    for (const player of [kim, lee]) expect(await player.heard(50)).toEqual(texts(50));
    await kim.until(() => kim.all("ack").at(-1)?.position === 50);
    expect(lee.all("presence").map(({ state }) => state)).toEqual(Array(4).fill(Presence.Joined));
  });

  it("loses no message that was in flight", async () => {
    const room = newRoom();
    const [kim, lee] = [await joinAs(room, "kim"), await joinAs(room, "lee")];
    for (let seq = 1; seq <= 60; seq++) kim.publish(seq, `message ${seq}`);
    await evict(room);
    for (let seq = 61; seq <= 120; seq++) kim.publish(seq, `message ${seq}`);
    await lee.heard(61);
    await evict(room);
    expect(await lee.heard(120)).toEqual(texts(120));
    await kim.until(() => kim.all("ack").at(-1)?.position === 120);
  });

  it("keeps a held seat, and removes it when its retention ends", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const lee = await joinAs(room, "lee");
    const kim = await RoomPlayer.join(room, token);
    const { epoch } = await kim.first("joined");
    kim.publish(1, "message 1");
    await kim.until(() => kim.all("ack").at(-1)?.position === 1);
    kim.drop();
    await lee.until(() => lee.all("presence").at(-1)?.state === Presence.Held);
    await evict(room);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, attempt: 2 }));
    expect(await back.first("joined")).toMatchObject({ resumed: true, member: 2, received: 1 });

    back.drop();
    await lee.until(() => lee.all("presence").at(-1)?.state === Presence.Held);
    await evict(room);
    await setClockAhead(room, 30_000);
    await ringAlarm(room);
    await lee.until(() => lee.all("presence").at(-1)?.state === Presence.Left);
  });

  it("continues a replay that had not ended", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const lee = await joinAs(room, "lee");
    const kim = await RoomPlayer.join(room, token);
    const { epoch, offset } = await kim.first("joined");
    kim.drop();
    await lee.until(() => lee.all("presence").at(-1)?.state === Presence.Held);
    // 600 KB: more than a replay sends before the player acknowledges.
    const body = new Uint8Array(12_000).fill(1);
    for (let seq = 1; seq <= 50; seq++) {
      lee.send({ kind: "publish", seq, to: 0, body });
      const last = (await lee.heard(seq)) && lee.all("deliver").at(-1);
      lee.send({ kind: "ack", position: last?.offset ?? 0 });
    }
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, delivered: offset, attempt: 2 }));
    await back.heard(10);
    expect(back.all("ack")).toEqual([]);
    await evict(room);
    while (back.all("ack").length === 0) {
      const got = back.all("deliver").length;
      back.send({ kind: "ack", position: back.all("deliver").at(-1)?.offset ?? 0 });
      await back.until(() => back.all("deliver").length > got || back.all("ack").length > 0);
    }
    const offsets = back.all("deliver").map((deliver) => deliver.offset);
    expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b));
    expect(offsets.length).toBe(50);
  });

  it("holds the seats of connections that were closed with it, and lets them resume", async () => {
    const room = newRoom();
    const { token } = await createSession({ user: "kim" });
    const kim = await RoomPlayer.join(room, token);
    const { epoch } = await kim.first("joined");
    publishAll(kim, 1, 20);
    await kim.until(() => (kim.all("ack").at(-1)?.position ?? 0) >= 16);
    const acked = kim.all("ack").at(-1)?.position ?? 0;
    await evict(room, "close");
    await kim.until(() => kim.closeCode !== undefined);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, attempt: 2 }));
    const { received, resumed } = await back.first("joined");
    expect(resumed).toBe(true);
    expect(received).toBeGreaterThanOrEqual(acked);
    expect((await back.heard(received)).slice(0, acked)).toEqual(texts(acked));
  });
});
