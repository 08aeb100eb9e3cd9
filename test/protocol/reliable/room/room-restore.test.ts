import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../../protocol/closed-codes.ts";
import { DEFAULT_ROOM_LIMITS } from "../../../../protocol/reliable/room/room-limits.ts";
import { RoomProbe } from "../../../support/rooms/room-probe.ts";

const SENDER = DEFAULT_ROOM_LIMITS.sender;
const KIM = { id: 1, session: "kim" };
const LEE = { id: 2, session: "lee" };

function twoPlayers(room = new RoomProbe()): RoomProbe {
  room.join(1, "kim");
  room.join(2, "lee");
  for (const id of [1, 2]) room.takePackets(id);
  return room;
}

describe("a room that lost its memory", () => {
  it("continues with the connections that it kept", () => {
    const room = twoPlayers();
    room.publish(1, 1);
    room.wait(100);
    for (const id of [1, 2]) room.takePackets(id);
    room.rebuild([KIM, LEE]);
    expect([room.takeKinds(1), room.takeKinds(2)]).toEqual([[], []]);
    room.publish(1, 2);
    expect([room.takeKinds(1), room.takeKinds(2)]).toEqual([["deliver 4"], ["deliver 4"]]);
    expect(room.presences).toEqual(["1:1", "2:1"]);
  });

  it("holds the seats whose connections are gone", () => {
    const room = twoPlayers();
    room.rebuild([KIM], room.nowMs + 60_000);
    expect(room.takeKinds(1)).toEqual(["presence 3"]);
    expect(room.core.alarmMs).toBe(room.nowMs + 30_000);
    expect(room.join(3, "lee", { epoch: 77, delivered: 2, attempt: 2 })).toMatchObject({ resumed: true, member: 2 });
  });

  it("removes the seats whose retention has ended meanwhile", () => {
    const room = twoPlayers();
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    room.rebuild([KIM], room.nowMs + 30_000);
    expect(room.presences).toEqual(["1:1", "2:1", "2:2", "2:4"]);
  });

  it("acks what it had received and not acked", () => {
    const room = twoPlayers();
    room.publish(1, 1);
    for (const id of [1, 2]) room.takePackets(id);
    room.rebuild([KIM, LEE]);
    expect(room.takePackets(1)).toEqual([{ kind: "ack", position: 1 }]);
    expect(room.takePackets(2)).toEqual([]);
  });

  it("continues a replay at its position", () => {
    const room = twoPlayers(new RoomProbe({ replayWindowBytes: 100 }));
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    for (let message = 0; message < 4; message++) {
      room.transact((core, nowMs) => core.post(0, 0, new Uint8Array(50), nowMs));
    }
    room.join(3, "lee", { epoch: 77, delivered: 2, attempt: 2 });
    expect(room.takeKinds(3)).toEqual(["presence 3", "deliver 4", "deliver 5"]);
    room.rebuild([KIM, { id: 3, session: "lee" }]);
    expect(room.takeKinds(3)).toEqual([]);
    room.receive(3, { kind: "ack", position: 5 });
    expect(room.takeKinds(3)).toEqual(["deliver 6", "deliver 7"]);
    room.receive(3, { kind: "ack", position: 7 });
    expect(room.takeKinds(3)).toEqual(["presence 8", "ack"]);
  });

  it("counts again how far a player is behind", () => {
    const room = twoPlayers(new RoomProbe({ liveWindowBytes: 700 }));
    const say = () => room.transact((core, nowMs) => core.post(0, 0, new Uint8Array(380), nowMs));
    say();
    room.receive(1, { kind: "ack", position: room.storage.head });
    say();
    room.rebuild([KIM, LEE]);
    say();
    expect([room.takeKinds(1).length, room.takeKinds(2).length]).toEqual([3, 2]);
    room.receive(2, { kind: "ack", position: 4 });
    expect(room.takeKinds(2)).toEqual(["deliver 5"]);
  });

  it("continues to pace a player, and acks its messages meanwhile", () => {
    const room = twoPlayers(new RoomProbe({ liveWindowBytes: 300, replayWindowBytes: 300 }));
    for (let message = 0; message < 5; message++) {
      room.transact((core, nowMs) => core.post(0, 0, new Uint8Array(180), nowMs));
    }
    room.takePackets(2);
    room.rebuild([KIM, LEE]);
    room.publish(2, 1);
    room.publish(2, 1);
    expect(room.takePackets(2)).toEqual([{ kind: "ack", position: 1 }]);
    room.receive(2, { kind: "ack", position: 4 });
    expect(room.takeKinds(2)).toEqual(["deliver 5", "deliver 6"]);
  });

  it("closes a connection whose messages waited in memory, so that it sends them again", () => {
    const room = twoPlayers(new RoomProbe({ sender: { ...SENDER, messages: { perSecond: 1, burst: 1 } } }));
    for (let seq = 1; seq <= 3; seq++) room.publish(1, seq);
    room.rebuild([KIM, LEE]);
    expect(room.closes).toEqual([{ connection: 1, code: ClosedCode.GoingAway }]);
    const back = room.join(3, "kim", { epoch: 77, delivered: 2, attempt: 2 });
    expect(back).toMatchObject({ resumed: true, received: 1 });
  });

  it("still requires the Join of a connection that had not joined", () => {
    const room = twoPlayers();
    room.connect(3, "park");
    room.rebuild([KIM, LEE, { id: 3, session: "park" }]);
    room.wait(5_000);
    expect(room.closes).toEqual([{ connection: 3, code: ClosedCode.TooSlow }]);
  });

  it.each([
    ["first", [KIM, { id: 3, session: "kim" }]],
    ["last", [{ id: 3, session: "kim" }, KIM]],
  ])("closes a replaced connection that is still listed: %s", (_, kept) => {
    const room = twoPlayers();
    room.join(3, "kim");
    room.closes.length = 0;
    room.rebuild([...kept, LEE]);
    expect(room.closes).toEqual([{ connection: 1, code: ClosedCode.Replaced }]);
    room.publish(3, 1);
    expect(room.storage.head).toBe(3);
  });

  it("closes a connection whose seat is gone or has a newer Join", () => {
    const room = twoPlayers();
    room.join(3, "kim", { epoch: 77, delivered: 1, attempt: 2 });
    room.receive(2, { kind: "leave" });
    room.closes.length = 0;
    room.rebuild([KIM, LEE]);
    expect(room.closes.map(({ connection }) => connection)).toEqual([1, 2]);
  });
});
