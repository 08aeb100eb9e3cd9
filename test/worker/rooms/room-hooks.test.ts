import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { MAX_BODY_BYTES } from "../../../protocol/player-packets.ts";
import type { RoomHooks, RoomMember, RoomMessage } from "../../../worker/rooms/room-transaction.ts";
import { createSession } from "../routes/edge-client.ts";
import { joinAs, newRoom, ringAlarm, roomObject, setClockAhead } from "./room-object.ts";
import { joinPacket, RoomPlayer } from "./room-player.ts";

/** What content code has to act with, and what it overrides. */
interface Content extends RoomHooks {
  readonly members: readonly RoomMember[];
  post(from: number, to: number, body: Uint8Array): number;
  remove(member: number): boolean;
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (body: Uint8Array) => new TextDecoder().decode(body);

/** A room in which `content` makes some of the hooks its own, as a class that extends Room would. */
async function roomWith(content: (room: Content) => Partial<RoomHooks>): Promise<string> {
  const name = newRoom();
  await runInDurableObject(roomObject(name), (object) => {
    const room = object as unknown as Content;
    Object.assign(room, content(room));
  });
  return name;
}

describe("content code", () => {
  it("is told once each who joins, loses the connection, resumes and leaves", async () => {
    const told: string[] = [];
    const room = await roomWith(() => ({
      onConnected: ({ user, member, connected }, how) => told.push(`${user} ${member} ${how} ${connected}`),
      onDisconnected: ({ user, member, connected }, how) => told.push(`${user} ${member} ${how} ${connected}`),
    }));
    const { token } = await createSession({ user: "kim" });
    const kim = await RoomPlayer.join(room, token);
    const { epoch } = await kim.first("joined");
    kim.drop();
    await kim.until(() => told.length === 2);
    const back = await RoomPlayer.dial(room, token);
    back.send(joinPacket(room, { epoch, attempt: 2 }));
    await back.first("joined");
    back.drop();
    await kim.until(() => told.length === 4);
    await setClockAhead(room, 30_000);
    await ringAlarm(room);
    expect(told).toEqual([
      "kim 1 joined true",
      "kim 1 held false",
      "kim 1 resumed true",
      "kim 1 held false",
      "kim 1 left false",
    ]);
  });

  it("gets a RangeError for a body that no packet holds, and the room continues", async () => {
    const room = await roomWith((content) => ({
      onReceive(_: RoomMember, { body }: RoomMessage) {
        content.post(0, 0, Uint8Array.of(33, ...body));
      },
    }));
    const kim = await joinAs(room, "kim");
    kim.send({ kind: "publish", seq: 1, to: 0, body: new Uint8Array(MAX_BODY_BYTES) });
    kim.publish(2, "hello");
    await kim.until(() => kim.all("ack").at(-1)?.position === 2);
    expect(kim.said).toEqual(["!hello"]);
  });

  it("receives each message once and decides what to post", async () => {
    const room = await roomWith((content) => ({
      onReceive(from: RoomMember, { to, body }: RoomMessage) {
        const others = content.members.filter(({ member }) => member !== from.member);
        for (const { member } of others) content.post(0, member, encode(`${from.user} to ${to}: ${decode(body)}`));
      },
    }));
    const [kim, lee] = [await joinAs(room, "kim"), await joinAs(room, "lee")];
    kim.publish(1, "hello", 7);
    kim.publish(1, "hello", 7);
    kim.publish(2, "again");
    expect(await lee.heard(2)).toEqual(["kim to 7: hello", "kim to 0: again"]);
    await kim.until(() => kim.all("ack").at(-1)?.position === 2);
    expect(kim.said).toEqual([]);
  });

  it("can post in the transaction in which a member joins, and is told when that was acked", async () => {
    const sent: [string, number][] = [];
    const room = await roomWith((content) => ({
      onConnected: ({ member, user }) => void content.post(0, member, encode(`welcome ${user}`)),
      onSent: ({ user }, offset) => void sent.push([user, offset]),
    }));
    const kim = await joinAs(room, "kim");
    expect(await kim.heard(1)).toEqual(["welcome kim"]);
    kim.send({ kind: "ack", position: 2 });
    await kim.until(() => sent.length > 0);
    expect(sent).toEqual([["kim", 2]]);
  });

  it("may remove the member whose message it receives", async () => {
    const room = await roomWith((content) => ({ onReceive: ({ member }) => void content.remove(member) }));
    const kim = await joinAs(room, "kim");
    kim.publish(1, "something rude");
    expect(await kim.closed()).toBe(1);
  });

  it("does not end the room when it throws, and the message counts as received", async () => {
    const room = await roomWith((content) => ({
      onReceive(from, { to, body }) {
        if (decode(body) === "poison") throw new Error("a bug of the content");
        content.post(from.member, to, body);
      },
    }));
    const kim = await joinAs(room, "kim");
    kim.publish(1, "poison");
    kim.publish(2, "hello");
    expect(await kim.heard(1)).toEqual(["hello"]);
    await kim.until(() => kim.all("ack").at(-1)?.position === 2);
  });
});
