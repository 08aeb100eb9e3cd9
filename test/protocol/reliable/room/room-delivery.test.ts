import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../../../protocol/closed-codes.ts";
import { DATAGRAM_OVERHEAD_BYTES, DELIVER_OVERHEAD_BYTES } from "../../../../protocol/player-packets.ts";
import { DEFAULT_ROOM_LIMITS } from "../../../../protocol/reliable/room/room-limits.ts";
import { RoomProbe } from "../../../support/rooms/room-probe.ts";

const KIB = 1024;
const PACKET_OF_1_KIB = new Uint8Array(KIB - DELIVER_OVERHEAD_BYTES);

/** kim (connection 1) and lee (connection 2) are in the room, and have acknowledged everything. */
function twoPlayers(room = new RoomProbe()): RoomProbe {
  room.join(1, "kim");
  room.join(2, "lee");
  for (const id of [1, 2]) room.receive(id, { kind: "ack", position: room.storage.head });
  for (const id of [1, 2]) room.takePackets(id);
  return room;
}

/** The server says `count` things of 1 KiB each. */
function flood(room: RoomProbe, count: number): void {
  for (let message = 0; message < count; message++)
    room.transact((core, nowMs) => core.post(0, 0, PACKET_OF_1_KIB, nowMs));
}

describe("a room's delivery", () => {
  it("sends a player at most 512 KiB without an Ack, and the rest when 128 KiB of these are unacked", () => {
    const room = twoPlayers();
    flood(room, 256);
    room.receive(1, { kind: "ack", position: room.storage.head });
    flood(room, 256);
    for (const id of [1, 2]) room.takePackets(id);
    flood(room, 10);
    // 256 KiB and 512 KiB.
    expect([room.takeKinds(1).length, room.takeKinds(2).length]).toEqual([10, 0]);
    room.receive(2, { kind: "ack", position: 514 - 129 });
    expect(room.takeKinds(2)).toEqual([]);
    room.receive(2, { kind: "ack", position: 514 - 128 });
    expect(room.takeKinds(2)).toEqual(Array.from({ length: 10 }, (_, at) => `deliver ${515 + at}`));
    // It has caught up: it is live again.
    flood(room, 1);
    expect(room.takeKinds(2)).toEqual(["deliver 525"]);
    expect(room.closes).toEqual([]);
  });

  it("closes only a player that it waits for and that acks nothing for 30 s", () => {
    const room = twoPlayers();
    flood(room, 512);
    room.receive(1, { kind: "ack", position: room.storage.head });
    room.wait(600_000);
    expect(room.closes).toEqual([]);
    flood(room, 1);
    expect(room.core.alarmMs).toBe(room.nowMs + 30_000);
    room.wait(29_999);
    room.receive(2, { kind: "ack", position: 3 });
    room.wait(29_999);
    expect(room.closes).toEqual([]);
    room.wait(1);
    expect(room.closes).toEqual([{ connection: 2, code: ClosedCode.TooSlow }]);
    expect(room.takePackets(2).at(-1)).toMatchObject({ kind: "closed", code: 6 });
    expect(room.presences.at(-1)).toBe("2:2");
  });

  it("acks the messages of a player that it paces", () => {
    const room = twoPlayers(new RoomProbe({ liveWindowBytes: KIB }));
    flood(room, 3);
    room.takePackets(2);
    room.publish(2, 1);
    room.wait(100);
    expect(room.takePackets(2)).toEqual([{ kind: "ack", position: 1 }]);
  });

  it("does not count entries that are not visible to the player", () => {
    const room = twoPlayers();
    room.join(3, "park");
    for (let seq = 1; seq <= 1100; seq++) {
      room.nowMs += 5;
      room.publish(1, seq, PACKET_OF_1_KIB, 3);
      for (const id of [1, 3]) room.receive(id, { kind: "ack", position: room.storage.head });
    }
    expect(room.closes).toEqual([]);
  });

  it("shares the bytes of entries for everybody, but not those of private messages", () => {
    const room = twoPlayers();
    room.join(3, "park");
    const written = (...to: number[]) => {
      for (const member of to) room.core.post(0, member, PACKET_OF_1_KIB, room.nowMs);
      const outputs = room.core.takeOutputs(room.nowMs);
      return outputs.flatMap((output) => (output.kind === "write" ? [output.bytes] : []));
    };
    const [kim, lee, park] = written(0, 2, 0);
    expect([kim?.byteLength, lee?.byteLength]).toEqual([2 * KIB, 3 * KIB]);
    expect(park?.buffer).toBe(kim?.buffer);
    const [own] = written(2, ...Array<number>(100).fill(3));
    // A socket that is not read holds the whole buffer.
    expect([own?.byteLength, own?.buffer.byteLength]).toEqual([KIB, KIB]);
  });

  it("replays as fast as the player acks, at most 256 KiB ahead, and does not close it as too slow", () => {
    const room = twoPlayers();
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    for (let time = 0; time < 4; time++) {
      flood(room, 500);
      room.receive(1, { kind: "ack", position: room.storage.head });
    }
    room.takePackets(1);
    expect(room.join(3, "lee", { epoch: 77, delivered: 2, attempt: 2 })).toMatchObject({ resumed: true });
    let offset = 2;
    for (let packets = room.takePackets(3); packets.at(-1)?.kind !== "ack"; packets = room.takePackets(3)) {
      expect(packets.length).toBeGreaterThan(0);
      expect(packets.length).toBeLessThanOrEqual(256 + 1);
      for (const packet of packets) {
        expect(packet).toMatchObject({ offset: offset + 1 });
        offset += 1;
      }
      room.receive(3, { kind: "ack", position: offset });
    }
    expect(offset).toBeGreaterThan(2_000 - 256);
    expect(room.closes).toEqual([]);
  });

  it("sends no Ack during a replay, so that its first Ack marks the end of the replay", () => {
    const room = twoPlayers(new RoomProbe({ replayWindowBytes: KIB }));
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    flood(room, 3);
    room.join(3, "lee", { epoch: 77, delivered: 2, attempt: 2 });
    room.publish(3, 1);
    room.publish(3, 1);
    room.wait(1_000);
    expect(room.takeKinds(3)).toEqual(["presence 3", "deliver 4"]);
    room.receive(3, { kind: "ack", position: 4 });
    room.receive(3, { kind: "ack", position: 5 });
    expect(room.takeKinds(3)).toEqual(["deliver 5", "deliver 6"]);
    room.receive(3, { kind: "ack", position: 6 });
    expect(room.takeKinds(3)).toEqual(["presence 7", "deliver 8", "ack"]);
  });

  it("does not replay entries that the player has received", () => {
    const room = twoPlayers(new RoomProbe({ replayWindowBytes: KIB }));
    flood(room, 4);
    room.join(3, "lee", { epoch: 0, attempt: 2 });
    expect(room.takeKinds(3).at(-1)).toBe("deliver 3");
    room.receive(3, { kind: "ack", position: 5 });
    expect(room.takeKinds(3)).toEqual(["deliver 6", "ack"]);
  });

  it("reports the exact gap in the log, and then the members", () => {
    const room = twoPlayers(new RoomProbe({ log: { ...DEFAULT_ROOM_LIMITS.log, neededMs: -1, maxEntries: 4 } }));
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    flood(room, 6);
    room.join(3, "lee", { epoch: 77, delivered: 2, attempt: 2 });
    const [gap, ...rest] = room.takePackets(3);
    // 2 joins, held, 6 messages: offsets 6..9 are kept, until the resume's own is the tenth.
    expect(gap).toEqual({ kind: "gap", from: 3, to: 5 });
    expect(rest.map((packet) => packet.kind)).toEqual([
      ...["presence", "presence", "deliver", "deliver", "deliver", "deliver", "presence", "ack"],
    ]);
  });

  it("reports the gap too if the log is trimmed during a replay", () => {
    const log = { ...DEFAULT_ROOM_LIMITS.log, neededMs: -1, maxEntries: 5 };
    const room = twoPlayers(new RoomProbe({ log, replayWindowBytes: KIB }));
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    flood(room, 3);
    room.join(3, "lee", { epoch: 77, delivered: 3, attempt: 2 });
    expect(room.takeKinds(3)).toEqual(["deliver 4"]);
    flood(room, 5);
    room.receive(3, { kind: "ack", position: 4 });
    const [gap] = room.takePackets(3);
    expect(gap).toEqual({ kind: "gap", from: 5, to: 7 });
  });

  it("drops datagrams to a player that does not keep up", () => {
    const room = twoPlayers(new RoomProbe({ replayWindowBytes: KIB }));
    flood(room, 2);
    room.receive(1, { kind: "ack", position: room.storage.head });
    room.takePackets(2);
    room.receive(1, { kind: "datagram", member: 0, body: Uint8Array.of(1) });
    expect(room.takePackets(2)).toEqual([]);
  });

  it("drops datagrams beyond the window to a silent player, until it is heard", () => {
    const room = twoPlayers(new RoomProbe({ datagramWindowBytes: 2 * KIB }));
    const body = new Uint8Array(KIB - DATAGRAM_OVERHEAD_BYTES);
    const arrived = () => {
      for (let sent = 0; sent < 5; sent++) room.receive(1, { kind: "datagram", member: 0, body });
      return room.takeKinds(2).length;
    };
    expect([arrived(), arrived()]).toEqual([2, 0]);
    room.nowMs += 1;
    room.receive(2, { kind: "ack", position: room.storage.head });
    expect([arrived(), arrived()]).toEqual([2, 0]);
    // A ping that the runtime answers is not seen here.
    room.pingedMs = room.nowMs + 1;
    expect([arrived(), arrived()]).toEqual([2, 0]);
  });

  it("counts a datagram without a body too", () => {
    const room = twoPlayers(new RoomProbe({ datagramWindowBytes: DATAGRAM_OVERHEAD_BYTES }));
    const empty = { kind: "datagram", member: 0, body: new Uint8Array(0) } as const;
    room.receive(1, empty, empty);
    expect(room.takePackets(2)).toEqual([{ ...empty, member: 1 }]);
  });
});
