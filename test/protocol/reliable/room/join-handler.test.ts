import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../../protocol/closed-codes.ts";
import type { Join } from "../../../../protocol/player-packets.ts";
import { RoomProbe } from "../../../support/rooms/room-probe.ts";

/** A room in which kim (member 1, connection 1) has published `messages`. */
function roomWith(messages: number, historyMessages = 50): RoomProbe {
  const room = new RoomProbe({ historyMessages });
  room.join(1, "kim");
  for (let seq = 1; seq <= messages; seq++) room.publish(1, seq);
  room.takePackets(1);
  return room;
}

describe("a Join", () => {
  it.each<[string, Partial<Join>, number]>([
    ["a token that is not its connection's", { token: new Uint8Array(20).fill(8) }, ClosedCode.SessionInvalid],
    ["another room", { room: "kitchen" }, ClosedCode.ProtocolError],
  ])("with %s is refused, and the seat's connection stays", (_, join, code) => {
    const room = roomWith(1);
    expect(room.join(2, "kim", join)).toBeUndefined();
    expect(room.closes).toEqual([{ connection: 2, code }]);
  });

  it("with its connection's own token is accepted", () => {
    expect(roomWith(0).join(2, "lee", { token: new Uint8Array(20).fill(7) })).toMatchObject({ member: 2 });
  });

  it("is refused while the room is full, unless it has a seat", () => {
    const room = new RoomProbe({ maxMembers: 1 });
    room.join(1, "kim");
    expect(room.join(2, "lee")).toBeUndefined();
    expect(room.closes).toEqual([{ connection: 2, code: ClosedCode.RoomFull }]);
    expect(room.join(3, "kim")).toMatchObject({ member: 1 });
  });

  it("that is newer takes the seat at once: the older connection is closed as replaced, and counts no more", () => {
    const room = roomWith(2);
    expect(room.join(2, "kim", { epoch: 77, delivered: 1, attempt: 2 })).toMatchObject({ resumed: true, received: 2 });
    expect(room.closes).toEqual([{ connection: 1, code: ClosedCode.Replaced }]);
    expect(room.takeKinds(2)).toEqual(["deliver 2", "deliver 3", "ack"]);
    room.publish(1, 3);
    room.transact((core, nowMs) => core.disconnected(1, nowMs));
    expect(room.storage.head).toBe(3);
    expect(room.presences).toEqual(["1:1"]);
  });

  it.each([
    ["of this log", 77],
    ["of another", 76],
  ])("that resumes a position %s, and is not newer than the seat's, is a late dial", (_, epoch) => {
    const room = roomWith(1);
    room.join(2, "kim", { epoch: 77, delivered: 1, attempt: 5 });
    expect(room.join(3, "kim", { epoch, delivered: 1, attempt: 5 })).toBeUndefined();
    expect(room.join(4, "kim", { epoch, delivered: 1, attempt: 4 })).toBeUndefined();
    expect(room.closes.slice(1)).toEqual([3, 4].map((connection) => ({ connection, code: ClosedCode.Replaced })));
    room.publish(2, 2);
    expect(room.storage.head).toBe(3);
  });

  it("with an offset of another epoch is a fresh one", () => {
    const room = roomWith(3, 1);
    expect(room.join(2, "kim", { epoch: 76, delivered: 2, attempt: 2 })).toMatchObject({ resumed: false, offset: 3 });
  });

  it("with an offset above the log's end breaks the protocol", () => {
    const room = roomWith(3);
    room.join(2, "kim", { epoch: 77, delivered: 5, attempt: 2 });
    expect(room.closes).toEqual([{ connection: 2, code: ClosedCode.ProtocolError }]);
  });

  it("that is fresh while the session has a seat gets that seat, what it has received, and the history", () => {
    const room = roomWith(5, 2);
    const joined = room.join(2, "kim");
    expect(joined).toMatchObject({ resumed: false, member: 1, received: 5, offset: 4 });
    expect(room.takeKinds(2)).toEqual(["presence 0", "deliver 5", "deliver 6", "ack"]);
    room.publish(2, 6);
    expect(room.storage.head).toBe(7);
    expect(room.presences).toEqual(["1:1"]);
  });

  it("that is fresh and late takes away nothing: the seat may still be resumed where its client was", () => {
    const room = roomWith(9, 2);
    room.join(2, "kim");
    expect(room.join(3, "kim", { epoch: 77, delivered: 3, attempt: 2 })).toMatchObject({ resumed: true, offset: 3 });
    expect(room.takeKinds(3).slice(0, 2)).toEqual(["deliver 4", "deliver 5"]);
  });

  it("cannot read what was said before its seat began", () => {
    const room = roomWith(9, 2);
    expect(room.join(2, "lee")).toMatchObject({ offset: 8 });
    expect(room.join(3, "lee", { epoch: 77, delivered: 0, attempt: 2 })).toMatchObject({ resumed: true, offset: 8 });
  });

  it("of a newcomer gets no private message of the past", () => {
    const room = roomWith(0);
    room.join(2, "lee");
    room.publish(1, 1, new Uint8Array(1), 2);
    room.join(3, "park");
    expect(room.takeKinds(3)).toEqual([
      "presence 0",
      "presence 0",
      "presence 0",
      "presence 1",
      "presence 2",
      "presence 4",
      "ack",
    ]);
  });
});
