import { describe, expect, it } from "vitest";
import { Presence } from "../../../protocol/player-packets.ts";
import { joinAs, newRoom } from "./room-object.ts";

describe("ChatRoom", () => {
  it("delivers a message to all members, its sender included, in one order", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    kim.publish(1, "hello");
    await lee.heard(1);
    lee.publish(1, "hello kim");
    for (const player of [kim, lee]) expect(await player.heard(2)).toEqual(["hello", "hello kim"]);
  });

  it("acks a message that is durable", async () => {
    const kim = await joinAs(newRoom(), "kim");
    kim.publish(1, "one");
    kim.publish(2, "two");
    await kim.until(() => kim.all("ack").at(-1)?.position === 2);
  });

  it("delivers a private message to its receiver and its sender only", async () => {
    const room = newRoom();
    const [kim, lee, park] = [await joinAs(room, "kim"), await joinAs(room, "lee"), await joinAs(room, "park")];
    const { member } = await lee.first("joined");
    kim.publish(1, "for lee", member);
    kim.publish(2, "for all");
    expect(await park.heard(1)).toEqual(["for all"]);
    expect(await lee.heard(2)).toEqual(["for lee", "for all"]);
    expect(await kim.heard(2)).toEqual(["for lee", "for all"]);
  });

  it("sends a new member the list of members, and reports who joins and leaves", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    const there = lee.all("presence").filter(({ offset }) => offset === 0);
    expect(there.map(({ user, state }) => [user, state])).toEqual([
      ["kim", Presence.Joined],
      ["lee", Presence.Joined],
    ]);
    lee.send({ kind: "leave" });
    expect(await lee.closed()).toBe(1);
    const seen = () => kim.all("presence").filter(({ user, offset }) => user === "lee" && offset > 0);
    await kim.until(() => seen().length === 2);
    expect(seen().map(({ state }) => state)).toEqual([Presence.Joined, Presence.Left]);
  });

  it("relays a datagram to the other members", async () => {
    const room = newRoom();
    const kim = await joinAs(room, "kim");
    const lee = await joinAs(room, "lee");
    kim.send({ kind: "datagram", member: 0, body: Uint8Array.of(1, 2, 3) });
    const { member } = await kim.first("joined");
    expect(await lee.first("datagram")).toEqual({ kind: "datagram", member, body: Uint8Array.of(1, 2, 3) });
    expect(kim.all("datagram")).toEqual([]);
  });

  it("responds to the text ping with a text, not with a packet", async () => {
    const kim = await joinAs(newRoom(), "kim");
    kim.sendRaw("ping");
    await kim.until(() => kim.texts.length > 0);
    expect(kim.texts).toEqual(["pong"]);
  });
});
