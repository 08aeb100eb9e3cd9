import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../../protocol/closed-codes.ts";
import type { PlayerPacket } from "../../../../protocol/player-packets.ts";
import { joinPacket, RoomProbe } from "../../../support/rooms/room-probe.ts";

const BODY = new Uint8Array(10);

describe("RoomCore", () => {
  it("responds to a Join with the seat, the members, the log, and then its first Ack", () => {
    const room = new RoomProbe();
    expect(room.join(1, "kim")).toMatchObject({ resumed: false, member: 1, epoch: 77, offset: 0, received: 0 });
    expect(room.takeKinds(1)).toEqual(["presence 0", "presence 1", "ack"]);
    room.join(2, "lee");
    expect(room.takeKinds(2)).toEqual(["presence 0", "presence 0", "presence 1", "presence 2", "ack"]);
    expect(room.takeKinds(1)).toEqual(["presence 2"]);
  });

  it("delivers a message to everybody, its sender too, and a private message to two members only", () => {
    const room = new RoomProbe();
    for (const [id, session] of ["kim", "lee", "park"].entries()) room.join(id + 1, session);
    for (const id of [1, 2, 3]) room.takeKinds(id);
    room.publish(1, 1);
    room.publish(1, 2, BODY, 2);
    expect([1, 2, 3].map((id) => room.takeKinds(id))).toEqual([
      ["deliver 4", "deliver 5"],
      ["deliver 4", "deliver 5"],
      ["deliver 4"],
    ]);
  });

  it("acks appended messages after 100 ms, and at once after the 16th", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.takeKinds(1);
    room.publish(1, 1);
    expect(room.takeKinds(1)).toEqual(["deliver 2"]);
    expect(room.core.deadlineMs).toBe(room.nowMs + 100);
    room.wait(100);
    expect(room.takePackets(1)).toEqual([{ kind: "ack", position: 1 }]);
    for (let seq = 2; seq <= 17; seq++) room.publish(1, seq);
    expect(room.takePackets(1).at(-1)).toEqual({ kind: "ack", position: 17 });
  });

  it("acks a duplicate at once, and delivers it to nobody", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.publish(1, 1);
    room.publish(1, 2);
    room.takeKinds(1);
    room.publish(1, 2);
    expect(room.takePackets(1)).toEqual([{ kind: "ack", position: 2 }]);
    room.publish(1, 1);
    expect(room.takePackets(1)).toEqual([{ kind: "ack", position: 2 }]);
    expect(room.storage.head).toBe(3);
  });

  it.each<[string, PlayerPacket[]]>([
    ["a seq with a hole", [{ kind: "publish", seq: 2, to: 0, body: BODY }]],
    ["an Ack above the log's end", [{ kind: "ack", position: 2 }]],
    ["a second Join", [joinPacket({ attempt: 2 })]],
    ["a room's packet", [{ kind: "pong", nonce: 1 }]],
  ])("closes the connection at %s with ProtocolError, and holds the seat", (_, packets) => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.receive(1, ...packets);
    expect(room.closes).toEqual([{ connection: 1, code: ClosedCode.ProtocolError }]);
    expect(room.takePackets(1).at(-1)).toMatchObject({ kind: "closed", code: 4 });
    expect(room.presences).toEqual(["1:1", "1:2"]);
  });

  it("closes a connection that sends half a packet, or anything before Join", () => {
    const room = new RoomProbe();
    room.connect(1, "kim");
    room.transact((core, nowMs) => core.received(1, Uint8Array.of(4, 0, 8), nowMs));
    room.connect(2, "lee");
    room.receive(2, { kind: "leave" });
    expect(room.closes.map(({ code }) => code)).toEqual([4, 4]);
    expect(room.presences).toEqual([]);
  });

  it("closes a connection that does not join within 5 s, as one that may reconnect", () => {
    const room = new RoomProbe();
    room.connect(1, "kim");
    room.wait(4_999);
    expect(room.closes).toEqual([]);
    expect(room.core.deadlineMs).toBe(room.nowMs + 1);
    room.wait(1);
    expect(room.closes).toEqual([{ connection: 1, code: ClosedCode.TooSlow }]);
  });

  it("removes a member at once when it leaves, after an Ack of its messages", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.join(2, "lee");
    room.takeKinds(1);
    room.takeKinds(2);
    room.receive(1, { kind: "publish", seq: 1, to: 0, body: BODY }, { kind: "leave" });
    expect(room.takePackets(1).slice(-2)).toMatchObject([
      { kind: "ack", position: 1 },
      { kind: "closed", code: 1 },
    ]);
    expect(room.takePackets(2).at(-1)).toMatchObject({ kind: "presence", member: 1, state: 4 });
    expect(room.core.members.map(({ member }) => member)).toEqual([2]);
    expect(room.join(3, "kim", { epoch: 77, delivered: 3, attempt: 2 })).toMatchObject({ resumed: false, member: 3 });
  });

  it("ignores packets after a Leave", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.receive(1, { kind: "leave" }, { kind: "publish", seq: 1, to: 0, body: BODY });
    room.join(2, "lee");
    room.transact((core, nowMs) => core.received(2, Uint8Array.of(4, 0, 8, 1, 4), nowMs));
    expect(room.closes.map(({ code }) => code)).toEqual([1, 1]);
    // Joined and left, twice: nothing else is in the log.
    expect(room.storage.head).toBe(4);
  });

  it("holds the seat of a lost connection for 30 s, and reports each change once", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.transact((core, nowMs) => core.disconnected(1, nowMs));
    room.transact((core, nowMs) => core.disconnected(1, nowMs));
    expect(room.core.alarmMs).toBe(room.nowMs + 30_000);
    room.wait(29_999);
    expect(room.join(2, "kim", { epoch: 77, delivered: 1, attempt: 2 })).toMatchObject({ resumed: true, member: 1 });
    expect(room.core.alarmMs).toBeUndefined();
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    room.wait(30_000);
    expect(room.presences).toEqual(["1:1", "1:2", "1:3", "1:2", "1:4"]);
  });

  it("removes an expired seat at a Join, before its alarm", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.transact((core, nowMs) => core.disconnected(1, nowMs));
    room.nowMs += 30_000;
    expect(room.join(2, "kim", { epoch: 77, delivered: 1, attempt: 2 })).toMatchObject({ resumed: false, member: 2 });
    expect(room.presences).toEqual(["1:1", "1:2", "1:4", "2:1"]);
  });

  it("responds to the newest of several Pings", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.takePackets(1);
    room.receive(1, { kind: "ping", nonce: 1 }, { kind: "ping", nonce: 2 });
    room.receive(1, { kind: "ping", nonce: 3 });
    const pongs = room.takePackets(1);
    expect(pongs).toEqual([2, 3].map((nonce) => ({ kind: "pong", nonce })));
  });

  it("relays datagrams to the other members, and responds to a Ping", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.join(2, "lee");
    room.takeKinds(1);
    room.takeKinds(2);
    room.receive(1, { kind: "datagram", member: 0, body: Uint8Array.of(1) }, { kind: "ping", nonce: 9 });
    expect(room.takePackets(1)).toEqual([{ kind: "pong", nonce: 9 }]);
    expect(room.takePackets(2)).toEqual([{ kind: "datagram", member: 1, body: Uint8Array.of(1) }]);
  });

  it("lets the server post, and remove a member", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.takeKinds(1);
    room.transact((core, nowMs) => expect(core.post(0, 0, BODY, nowMs)).toBe(2));
    expect(room.takePackets(1)).toEqual([{ kind: "deliver", offset: 2, from: 0, to: 0, body: BODY }]);
    room.transact((core, nowMs) => core.remove(1, ClosedCode.SessionInvalid, "revoked", nowMs));
    expect(room.closes).toEqual([{ connection: 1, code: 3 }]);
    expect(room.presences).toEqual(["1:1", "1:4"]);
  });

  it("closes a connection with the given code, and holds its seat", () => {
    const room = new RoomProbe();
    room.join(1, "kim");
    room.join(2, "lee");
    room.transact((core, nowMs) => core.close(1, ClosedCode.GoingAway, "silent", nowMs));
    expect(room.closes).toEqual([{ connection: 1, code: 7 }]);
    expect(room.core.members.map(({ heldSinceMs }) => heldSinceMs)).toEqual([room.nowMs, null]);
  });
});
