import { describe, expect, it } from "vitest";
import { MAX_BODY_BYTES, type RoomToPlayer } from "../../../../protocol/player-packets.ts";
import { ClientProbe, joinedPacket } from "../../../support/rooms/client-probe.ts";

const HELLO = Buffer.from("hello");

function deliver(offset: number): RoomToPlayer {
  return { kind: "deliver", offset, from: 9, to: 0, body: Uint8Array.from(HELLO) };
}

describe("ClientMachine", () => {
  it("goes through all states from None to Established, with a fresh Join", () => {
    const client = new ClientProbe();
    expect(client.machine.state).toBe("None");
    client.call((machine, nowMs) => machine.connect(nowMs));
    expect(client.takeDials()).toEqual([1]);
    client.open(1);
    expect(client.takePackets(1)).toMatchObject([{ kind: "join", room: "lobby", epoch: 0, delivered: 0, attempt: 10 }]);
    client.receive(1, joinedPacket());
    client.receive(1, { kind: "ack", position: 0 });
    const states = ["Connecting", "Handshaking", "Connected", "Restore", "Standby", "Established"];
    expect(client.takeStates()).toEqual(states);
    expect(client.takeEvents()).toEqual([{ kind: "joined", member: 5, epoch: 77, resumed: false }]);
  });

  it("keeps messages sent before the first Joined, and numbers them after what the room has received", () => {
    const client = new ClientProbe();
    client.call((machine, nowMs) => machine.connect(nowMs));
    client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    client.open(1);
    client.takePackets(1);
    client.receive(1, joinedPacket({ received: 17 }));
    expect(client.takePackets(1)).toMatchObject([{ kind: "publish", seq: 18, to: 0 }]);
  });

  it("writes all packets of one call as one write", () => {
    const client = new ClientProbe();
    client.establish();
    client.call((machine, nowMs) => {
      for (let message = 0; message < 3; message++) machine.send(HELLO, 0, nowMs);
      machine.datagram(HELLO, nowMs);
    });
    expect(client.outputs.filter(({ kind }) => kind === "write")).toHaveLength(1);
    expect(client.takePackets(1).map(({ kind }) => kind)).toEqual(["publish", "publish", "publish", "datagram"]);
  });

  it("accepts packets split anywhere", () => {
    const client = new ClientProbe();
    client.establish();
    for (const byte of [0x19, 0, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, ...HELLO]) {
      client.call((machine, nowMs) => machine.received(1, Uint8Array.of(byte), nowMs));
    }
    expect(client.takeEvents()).toMatchObject([{ kind: "message", offset: 1, from: 9 }]);
  });

  it("acks after 100 ms, at once after 16 messages or a duplicate, and delivers no duplicate", () => {
    const client = new ClientProbe();
    client.establish();
    client.receive(1, deliver(1));
    expect(client.takePackets(1)).toEqual([]);
    client.wait(100);
    expect(client.takePackets(1)).toEqual([{ kind: "ack", position: 1 }]);
    client.receive(1, ...Array.from({ length: 16 }, (_, index) => deliver(10 + index)));
    expect(client.takePackets(1)).toEqual([{ kind: "ack", position: 25 }]);
    client.takeEvents();
    client.receive(1, deliver(25));
    expect(client.takePackets(1)).toEqual([{ kind: "ack", position: 25 }]);
    expect(client.takeEvents()).toEqual([]);
  });

  it("reports that the window is full, and when it has space again", () => {
    const client = new ClientProbe({ limits: { windowMessages: 2 } });
    client.establish();
    client.call((machine, nowMs) => {
      expect(machine.send(HELLO, 0, nowMs)).toEqual({ kind: "queued", id: 1 });
      expect(machine.send(HELLO, 0, nowMs)).toEqual({ kind: "queued", id: 2 });
      expect(machine.send(HELLO, 0, nowMs)).toEqual({ kind: "full" });
    });
    client.receive(1, { kind: "ack", position: 1 });
    expect(client.takeEvents()).toEqual([{ kind: "acked", id: 1 }, { kind: "writable" }]);
  });

  it("refuses a body that no Deliver could carry", () => {
    const client = new ClientProbe();
    client.establish();
    const result = client.machine.send(new Uint8Array(MAX_BODY_BYTES + 1), 0, client.nowMs);
    expect(result).toEqual({ kind: "tooLarge", maxBytes: MAX_BODY_BYTES });
  });

  it("reports datagrams, presence and gaps, and sends datagrams only over a connection", () => {
    const client = new ClientProbe();
    expect(client.machine.datagram(HELLO, client.nowMs)).toBe(false);
    client.establish();
    expect(client.machine.datagram(HELLO, client.nowMs)).toBe(true);
    const datagram: RoomToPlayer = { kind: "datagram", member: 9, body: Uint8Array.of(1) };
    const presence: RoomToPlayer = { kind: "presence", offset: 3, member: 9, state: 1, user: "lee" };
    const gap: RoomToPlayer = { kind: "gap", from: 4, to: 8 };
    client.receive(1, datagram, presence, presence, gap, gap);
    expect(client.takeEvents()).toEqual([datagram, presence, gap]);
    expect(client.machine.position).toMatchObject({ epoch: 77, delivered: 8 });
  });

  it("ends a leave with Closed(Left), and does not return", () => {
    const client = new ClientProbe();
    client.establish();
    client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    client.call((machine, nowMs) => machine.disconnect(nowMs));
    expect(client.takePackets(1).at(-1)).toEqual({ kind: "leave" });
    expect(client.machine.send(HELLO, 0, client.nowMs)).toEqual({ kind: "closed" });
    client.receive(1, { kind: "ack", position: 1 }, { kind: "closed", code: 1, message: "left" });
    expect(client.takeEvents()).toEqual([
      { kind: "acked", id: 1 },
      { kind: "closed", code: 1, message: "left", unacked: [] },
    ]);
    expect(client.takeCloses()).toEqual([1]);
    client.wait(600_000);
    expect(client.takeDials()).toEqual([]);
    expect(client.machine.deadlineMs).toBeUndefined();
  });

  it("ends a leave without a response after 2 s, and without a connection at once, and reports the unacked messages", () => {
    const silent = new ClientProbe();
    silent.establish();
    silent.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    silent.call((machine, nowMs) => machine.disconnect(nowMs));
    silent.wait(1_999);
    expect(silent.takeEvents()).toEqual([]);
    silent.wait(1);
    expect(silent.takeEvents()).toMatchObject([{ kind: "closed", code: 1, unacked: [{ id: 1 }] }]);
    const unconnected = new ClientProbe();
    unconnected.call((machine, nowMs) => machine.connect(nowMs));
    unconnected.call((machine, nowMs) => machine.disconnect(nowMs));
    expect(unconnected.takeEvents()).toMatchObject([{ kind: "closed", code: 1 }]);
    expect(unconnected.takeCloses()).toEqual([1]);
  });

  it.each([2, 3, 4, 9])("does not come back after Closed(%i)", (code) => {
    const client = new ClientProbe();
    client.establish();
    client.receive(1, { kind: "closed", code, message: "no" });
    expect(client.takeEvents()).toEqual([{ kind: "closed", code, message: "no", unacked: [] }]);
    client.wait(600_000);
    expect(client.takeDials()).toEqual([]);
  });

  it("dials again within 10 ms when a connection that was in use broke", () => {
    const client = new ClientProbe();
    client.establish();
    client.wait(250);
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(4);
    expect(client.takeDials()).toEqual([]);
    client.wait(1);
    expect(client.takeDials()).toEqual([2]);
    client.call((machine, nowMs) => machine.lost(2, nowMs));
    client.wait(124);
    expect(client.takeDials()).toEqual([]);
    client.wait(1);
    expect(client.takeDials()).toEqual([3]);
  });

  it("waits for its back-off when the connection broke within 250 ms of its first Ack", () => {
    const client = new ClientProbe();
    client.establish();
    client.wait(249);
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(124);
    expect(client.takeDials()).toEqual([]);
    client.wait(1);
    expect(client.takeDials()).toEqual([2]);
  });

  it.each([
    [5, 4_000],
    [6, 125],
    [7, 250],
    [8, 250],
    [77, 250],
  ])("dials again after Closed(%i), %i ms later in the middle of the jitter", (code, delayMs) => {
    const client = new ClientProbe();
    client.establish();
    client.receive(1, { kind: "closed", code, message: "for now" });
    expect(client.takeEvents()).toContainEqual({ kind: "interrupted", code, message: "for now" });
    client.wait(delayMs - 1);
    expect(client.takeDials()).toEqual([]);
    client.wait(1);
    expect(client.takeDials()).toEqual([2]);
  });

  it("uses a WebSocket's close code if the Closed packet did not arrive", () => {
    const client = new ClientProbe();
    client.establish();
    client.call((machine, nowMs) => machine.lost(1, nowMs, 3));
    expect(client.takeEvents()).toMatchObject([{ kind: "closed", code: 3, message: "SessionInvalid" }]);
  });

  it.each([
    [
      "bytes that are no packet",
      (client: ClientProbe) => client.call((m, now) => m.received(1, Uint8Array.of(3, 0), now)),
    ],
    ["a Joined that nobody asked for", (client: ClientProbe) => client.receive(1, joinedPacket())],
    ["an Ack of what was not published", (client: ClientProbe) => client.receive(1, { kind: "ack", position: 1 })],
    ["a player's packet", (client: ClientProbe) => client.receive(1, { kind: "leave" })],
  ])("ends if the room breaks the protocol with %s", (_, breakIt) => {
    const client = new ClientProbe();
    client.establish();
    breakIt(client);
    expect(client.takeEvents()).toMatchObject([{ kind: "closed", code: 4 }]);
    expect(client.takeCloses()).toEqual([1]);
  });

  it("ends at a Deliver before Joined", () => {
    const client = new ClientProbe();
    client.call((machine, nowMs) => machine.connect(nowMs));
    client.open(1);
    client.receive(1, deliver(1));
    expect(client.takeEvents()).toMatchObject([{ kind: "closed", code: 4 }]);
  });

  it("dials again, with a higher attempt, if there is no response within 10 s", () => {
    const client = new ClientProbe();
    client.call((machine, nowMs) => machine.connect(nowMs));
    client.open(1);
    client.wait(10_125);
    expect(client.takeCloses()).toEqual([1]);
    client.open(2);
    expect(client.takePackets(2)).toMatchObject([{ kind: "join", epoch: 0, attempt: 11 }]);
  });

  it("pings an idle connection, by packet over TCP, by text on a WebSocket", () => {
    const tcp = new ClientProbe();
    tcp.establish();
    tcp.wait(10_000);
    expect(tcp.takePackets(1)).toEqual([{ kind: "ping", nonce: 0 }]);
    const webSocket = new ClientProbe({ heartbeat: "text" });
    webSocket.establish({ heartbeatSeconds: 4 });
    webSocket.wait(3_999);
    expect(webSocket.takeTexts()).toEqual([]);
    webSocket.wait(1);
    expect(webSocket.takeTexts()).toEqual(["ping"]);
    webSocket.call((machine, nowMs) => machine.receivedText(1, nowMs));
    webSocket.wait(3_000);
    expect(webSocket.takeEvents()).toEqual([]);
  });
});
