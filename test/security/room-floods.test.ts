import { describe, expect, it } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { PlayerPacket } from "../../protocol/player-packets.ts";
import { DEFAULT_ROOM_LIMITS, type RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import { DirectPair } from "../support/rooms/direct-pair.ts";
import { RoomProbe } from "../support/rooms/room-probe.ts";

const OTHERS = 50;
const BODY = new Uint8Array(16_000).fill(120);
const MALLORY = 1;

const { sender, log } = DEFAULT_ROOM_LIMITS;
const UNLIMITED: Partial<RoomLimits> = {
  sender: {
    messages: { perSecond: 1e9, burst: 1e9 },
    bytes: { perSecond: 1e9, burst: 1e9 },
    datagrams: sender.datagrams,
    datagramBytes: sender.datagramBytes,
    packets: { perSecond: 1e9, burst: 1e9 },
  },
};

/** The attacker is connection 1, the others 2, 3, ...; everybody has acknowledged what there is. */
function roomOf(others: number, limits: Partial<RoomLimits> = {}): RoomProbe {
  const room = new RoomProbe(limits);
  room.join(MALLORY, "mallory");
  for (let other = 2; other < others + 2; other++) room.join(other, `kim-${other}`);
  acknowledgeAll(room, others);
  return room;
}

/** Everybody but the attacker acknowledges what it was sent. */
function acknowledgeAll(room: RoomProbe, others: number): void {
  for (let id = 2; id < others + 2; id++) {
    const position = room.takePackets(id).reduce((last, packet) => Math.max(last, offsetOf(packet)), 0);
    if (position > 0) room.receive(id, { kind: "ack", position });
  }
}

function offsetOf(packet: PlayerPacket): number {
  return "offset" in packet ? packet.offset : 0;
}

/** As one message on the wire: publishes with the seqs after `after`. */
function burst(count: number, body: Uint8Array, after = 0, to = 0): PlayerPacket[] {
  return Array.from({ length: count }, (_, at) => ({ kind: "publish", seq: after + at + 1, to, body }));
}

function kinds(packets: readonly PlayerPacket[], kind: PlayerPacket["kind"]): number {
  return packets.filter((packet) => packet.kind === kind).length;
}

describe("one member's flood", () => {
  it("closes none of the 50 others, whether they acknowledge it in time or not", () => {
    const room = roomOf(OTHERS);
    for (let seq = 1; seq <= 67; seq++) room.publish(MALLORY, seq, BODY);
    expect(room.closes.filter(({ connection }) => connection !== MALLORY)).toEqual([]);
  });

  it("reaches those who do not keep up as fast as they acknowledge, and whole, although nothing limits its sender", () => {
    const room = roomOf(2, UNLIMITED);
    for (let seq = 1; seq <= 300; seq++) {
      room.publish(MALLORY, seq, BODY);
      // Connection 2 keeps up, 3 is slow.
      room.receive(2, { kind: "ack", position: room.storage.head });
    }
    expect(kinds(room.takePackets(2), "deliver")).toBe(300);
    let delivered = 0;
    for (let packets = room.takePackets(3); packets.length > 0; packets = room.takePackets(3)) {
      const bytes = packets.reduce((sum, packet) => sum + ("body" in packet ? packet.body.byteLength : 0), 0);
      expect(bytes).toBeLessThan(delivered === 0 ? 512 * 1024 + 16_384 : 256 * 1024 + 16_384);
      delivered += kinds(packets, "deliver");
      room.wait(10_000);
      room.receive(3, { kind: "ack", position: Math.max(...packets.map(offsetOf)) });
    }
    expect(delivered).toBe(300);
    expect(room.closes.filter(({ connection }) => connection !== MALLORY)).toEqual([]);
  });

  it("erases nothing that a member who is away for 2 s has not received", () => {
    const room = roomOf(1);
    expect(missedBehindWhispers(room)).toEqual({ gaps: 0, missed: 1 });
  });

  it("does not even do so where nothing limits its sender: the log keeps what held seats need", () => {
    const room = roomOf(1, UNLIMITED);
    expect(missedBehindWhispers(room)).toEqual({ gaps: 0, missed: 1 });
    expect(room.storage.length).toBeGreaterThan(10_500);
  });

  it("does not do so for a member who is connected and behind, nor for one that the room's lost memory knew", () => {
    const room = roomOf(2, UNLIMITED);
    room.transact((core, nowMs) => core.post(0, 0, Uint8Array.of(42), nowMs));
    room.transact((core, nowMs) => core.disconnected(3, nowMs));
    room.rebuild([
      { id: MALLORY, session: "mallory" },
      { id: 2, session: "kim-2" },
    ]);
    const missed = room.storage.head - 1;
    for (let seq = 1; seq <= 10_500; seq++) room.publish(MALLORY, seq, Uint8Array.of(1), 1);
    expect(room.storage.first).toBeLessThanOrEqual(missed);
  });

  it("ends its own connection alone, and everybody receives what was accepted before", () => {
    const room = roomOf(2);
    // A burst of 512 KiB goes through, 256 KiB wait: 33 and 16 messages.
    room.receive(MALLORY, ...burst(33 + 16, BODY));
    expect(room.closes).toEqual([]);
    room.receive(MALLORY, ...burst(1, BODY, 49));
    expect(room.closes).toEqual([{ connection: MALLORY, code: ClosedCode.TooFast }]);
    expect(room.takePackets(MALLORY).at(-1)).toMatchObject({ kind: "closed", code: 10 });
    for (const id of [2, 3]) expect(kinds(room.takePackets(id), "deliver")).toBe(33);
    room.receive(3, { kind: "ack", position: room.storage.head - 1 });
    room.publish(2, 1);
    expect(kinds(room.takePackets(3), "deliver")).toBe(1);
  });

  it("does not get a new budget with a new connection: the budget is the session's", () => {
    const room = roomOf(1);
    room.receive(MALLORY, ...burst(33, BODY));
    const before = room.storage.head;
    room.transact((core, nowMs) => core.disconnected(MALLORY, nowMs));
    const back = room.join(9, "mallory", { epoch: 77, delivered: before, attempt: 2 });
    expect(back).toMatchObject({ resumed: true, received: 33 });
    room.receive(9, ...burst(10, BODY, 33));
    room.receive(9, { kind: "leave" });
    room.join(10, "mallory");
    room.receive(10, ...burst(10, BODY));
    expect(kinds(room.takePackets(2), "deliver")).toBe(33);
  });

  it("holds back nobody else's messages", () => {
    const room = roomOf(3);
    room.receive(MALLORY, ...burst(40, BODY));
    acknowledgeAll(room, 3);
    for (const id of [2, 3]) room.publish(id, 1);
    expect(kinds(room.takePackets(4), "deliver")).toBe(2);
  });

  it("by many members fills 64 MiB at most with what waits, and closes nobody who has less than its share", () => {
    const members = 200;
    const tight = { perSecond: 1, burst: 1 };
    const room = roomOf(members, { sender: { ...sender, bytes: tight } });
    room.publish(2, 1);
    room.publish(2, 2);
    room.receiveTogether(Array.from({ length: members - 1 }, (_, at) => [at + 3, burst(17, BODY)] as const));
    const tooFast = room.closes.filter(({ code }) => code === ClosedCode.TooFast).map(({ connection }) => connection);
    // 200 times 256 KiB would be 50 MiB, and all may have 32 MiB and their shares.
    expect(tooFast.length).toBeGreaterThan(50);
    expect(tooFast).not.toContain(2);
  });

  it("by all members together takes from a held seat nothing that it needs, and keeps the log in its bound", () => {
    const maxNeededBytes = 1024 * 1024;
    const room = roomOf(20, { log: { ...log, maxBytes: 64 * 1024, maxNeededBytes }, historyMessages: 0 });
    room.transact((core, nowMs) => core.disconnected(21, nowMs));
    const missedFrom = room.storage.head;
    const seqs = new Map<number, number>();
    for (let tenth = 0; tenth < 290; tenth++) {
      for (let id = 1; id <= 20; id++) {
        const seq = seqs.get(id) ?? 0;
        room.receive(id, ...burst(4, new Uint8Array(1_000), seq, id));
        if (room.closes.some(({ connection }) => connection === id)) continue;
        seqs.set(id, seq + 4);
      }
      room.wait(100);
      expect(room.storage.bytes).toBeLessThanOrEqual(maxNeededBytes);
      acknowledgeAll(room, 19);
    }
    expect(room.storage.bytes).toBeGreaterThan(maxNeededBytes / 2);
    expect(room.storage.first).toBeLessThanOrEqual(missedFrom);
    expect(room.join(99, "kim-21", { epoch: 77, delivered: missedFrom - 1, attempt: 2 })).toMatchObject({
      resumed: true,
    });
    expect(kinds(room.takePackets(99), "gap")).toBe(0);
  });

  it("of datagrams is passed on at the rate of its budget, and others' still are", () => {
    const room = roomOf(10);
    const datagram: PlayerPacket = { kind: "datagram", member: 0, body: Uint8Array.of(1) };
    room.receive(MALLORY, ...Array<PlayerPacket>(5_000).fill(datagram));
    expect(kinds(room.takePackets(2), "datagram")).toBe(400);
    room.receive(3, datagram);
    expect(kinds(room.takePackets(2), "datagram")).toBe(1);
    room.wait(1_000);
    room.receive(MALLORY, ...Array<PlayerPacket>(5_000).fill(datagram));
    expect(kinds(room.takePackets(2), "datagram")).toBe(200);
    // Large ones count by their bytes: 128 KiB a second.
    room.wait(1_000);
    room.receive(MALLORY, ...Array<PlayerPacket>(100).fill({ ...datagram, body: BODY }));
    room.wait(10_000);
    room.takePackets(2);
    room.receive(MALLORY, ...Array<PlayerPacket>(100).fill({ ...datagram, body: BODY }));
    expect(kinds(room.takePackets(2), "datagram")).toBeLessThanOrEqual(33);
    expect(room.closes).toEqual([]);
  });

  /** kim misses one message of the server, and then 10,500 that mallory sends to itself. */
  function missedBehindWhispers(room: RoomProbe) {
    room.transact((core, nowMs) => core.disconnected(2, nowMs));
    const delivered = room.storage.head - 1;
    room.transact((core, nowMs) => core.post(0, 0, Uint8Array.of(42), nowMs));
    for (let seq = 1; seq <= 10_500; seq++) room.publish(MALLORY, seq, Uint8Array.of(1), 1);
    room.nowMs += 2_000;
    expect(room.join(99, "kim-2", { epoch: 77, delivered, attempt: 2 })).toMatchObject({ resumed: true });
    const packets = room.takePackets(99);
    return { gaps: kinds(packets, "gap"), missed: kinds(packets, "deliver") };
  }
});

describe("what one member's packets cost the room", () => {
  const { burst: most, perSecond } = sender.packets;
  const worthless: readonly PlayerPacket[] = [
    { kind: "ping", nonce: 1 },
    { kind: "ack", position: 1 },
    { kind: "publish", seq: 1, to: 0, body: new Uint8Array(0) },
    { kind: "datagram", member: 0, body: new Uint8Array(0) },
  ];

  it.each(worthless)("is bounded, also if they change nothing: $kind", (packet) => {
    const room = roomOf(2);
    room.publish(MALLORY, 1);
    for (let second = 0; second < 10; second++) {
      room.receive(MALLORY, ...Array<PlayerPacket>(perSecond - 100).fill(packet));
      room.wait(1_000);
    }
    expect(room.closes).toEqual([]);
    room.receive(MALLORY, ...Array<PlayerPacket>(most + 1_000).fill(packet));
    expect(room.closes).toEqual([{ connection: MALLORY, code: ClosedCode.TooFast }]);
    expect(room.takePackets(MALLORY).at(-1)).toMatchObject({ kind: "closed", code: ClosedCode.TooFast });
    // The seat is kept; others are as they were, and so is the session, once it has waited.
    expect(room.join(8, "mallory", { attempt: 2 })).toBeUndefined();
    room.wait(9_000);
    expect(room.join(9, "mallory", { epoch: 77, delivered: 1, attempt: 3 })).toMatchObject({ resumed: true });
    room.publish(2, 1);
    expect(kinds(room.takePackets(3), "deliver")).toBe(2);
  });

  it("includes a message without packets, which breaks the protocol", () => {
    const room = roomOf(1);
    room.receive(MALLORY);
    expect(room.closes).toEqual([{ connection: MALLORY, code: ClosedCode.ProtocolError }]);
  });

  it("includes its Joins: who comes and goes without end is told TooFast, and the others hear of it 20 times", () => {
    const room = roomOf(1);
    room.takePackets(2);
    for (let id = 100; id < 1_100; id++) {
      room.join(id, "sybil");
      room.receive(id, { kind: "leave" });
    }
    expect(kinds(room.takePackets(2), "presence")).toBeLessThanOrEqual(2 * 20);
    expect(room.closes.filter(({ code }) => code === ClosedCode.TooFast).length).toBeGreaterThanOrEqual(980);
    // A phone whose network comes and goes all the time joins 4 times a second.
    for (let id = 2_000; id < 2_400; id++) {
      room.wait(250);
      expect(room.join(id, "phone", { epoch: 77, delivered: 1, attempt: id })).toBeDefined();
      room.transact((core, nowMs) => core.disconnected(id, nowMs));
    }
  });
});

describe("an honest crowd", () => {
  it("of 250 members who all publish in the same second is delivered to everybody", () => {
    const room = new RoomProbe();
    for (let id = 2; id < 252; id++) room.join(id, `kim-${id}`);
    room.receiveTogether(Array.from({ length: 250 }, (_, at) => [at + 2, burst(1, new Uint8Array(100))] as const));
    for (const id of [2, 125, 251]) expect(kinds(room.takePackets(id), "deliver")).toBe(250);
    expect(room.closes).toEqual([]);
  });

  it("of players with 60 reliable updates and 60 datagrams a second is not slowed down", () => {
    const room = roomOf(8);
    for (let update = 1; update <= 300; update++) {
      room.nowMs += update % 3 === 0 ? 17 : 16;
      const body = new Uint8Array(200);
      const packets = [
        { kind: "publish", seq: update, to: 0, body },
        { kind: "datagram", member: 0, body },
      ] as const;
      room.receiveTogether(Array.from({ length: 8 }, (_, at) => [at + 2, packets] as const));
      const heard = room.takePackets(2);
      expect([kinds(heard, "deliver"), kinds(heard, "datagram")]).toEqual([8, 7]);
      room.receive(2, { kind: "ack", position: room.storage.head });
      acknowledgeAll(room, 8);
    }
  });

  it("loses nothing for the member whose phone is away for 20 s", () => {
    const room = roomOf(11);
    room.transact((core, nowMs) => core.disconnected(12, nowMs));
    const delivered = room.storage.head - 1;
    for (let update = 1; update <= 20 * 60; update++) {
      room.nowMs += update % 3 === 0 ? 17 : 16;
      const body = new Uint8Array(100);
      room.receiveTogether(
        Array.from({ length: 10 }, (_, at) => [at + 2, [{ kind: "publish", seq: update, to: 0, body }]] as const),
      );
      if (update % 10 === 0) acknowledgeAll(room, 10);
    }
    expect(room.join(99, "kim-12", { epoch: 77, delivered, attempt: 2 })).toMatchObject({ resumed: true });
    let heard = 0;
    for (let packets = room.takePackets(99); packets.length > 0; packets = room.takePackets(99)) {
      expect(kinds(packets, "gap")).toBe(0);
      heard += kinds(packets, "deliver");
      room.receive(99, { kind: "ack", position: Math.max(...packets.map(offsetOf)) });
    }
    expect(heard).toBe(20 * 60 * 10);
  });

  it("sends as fast as its window lets it, for 20 s, and is slowed down by Acks only", () => {
    const pair = new DirectPair((event) => expect(event.kind).not.toMatch(/interrupted|closed|handover|gap/));
    pair.client.connect(pair.nowMs);
    pair.exchange();
    let sent = 0;
    for (let tick = 0; tick < 1_000; tick++) {
      while (pair.client.send(new Uint8Array(40), 0, pair.nowMs).kind === "queued") sent += 1;
      pair.pass(20);
    }
    expect(pair.client.state).toBe("Established");
    // 500 a second, a burst of 2,000, and what is on its way.
    expect(sent).toBeGreaterThan(20 * 500 + 1_500);
    expect(sent).toBeLessThan(60 * 500 + 2_000 + 1_100);
  });
});
