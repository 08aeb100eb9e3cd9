import { describe, expect, it } from "vitest";
import { ClientProbe, joinedPacket } from "../../../support/rooms/client-probe.ts";

const HELLO = Buffer.from("hello");

function established(sends = 0): ClientProbe {
  const client = new ClientProbe();
  client.establish();
  for (let message = 0; message < sends; message++) client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
  client.outputs.length = 0;
  return client;
}

describe("a handover", () => {
  it("begins with the loss, replays what the room has not received, and ends with the room's first Ack", () => {
    const client = established(3);
    client.receive(1, { kind: "deliver", offset: 7, from: 5, to: 0, body: Uint8Array.of(1) });
    client.takeEvents();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    client.wait(125);
    client.open(2);
    expect(client.takePackets(2)).toMatchObject([{ kind: "join", epoch: 77, delivered: 7, attempt: 11 }]);
    client.receive(2, joinedPacket({ resumed: true, offset: 7, received: 1 }));
    expect(client.machine.state).toBe("Standby");
    expect(client.takePackets(2)).toMatchObject([
      { kind: "publish", seq: 2 },
      { kind: "publish", seq: 3 },
    ]);
    client.receive(2, { kind: "deliver", offset: 9, from: 5, to: 0, body: Uint8Array.of(2) });
    client.wait(75);
    client.receive(2, { kind: "ack", position: 3 });
    expect(client.takeEvents()).toMatchObject([
      { kind: "acked", id: 1 },
      { kind: "joined", resumed: true },
      { kind: "message", offset: 9 },
      { kind: "acked", id: 3 },
      { kind: "handoverEnd", gapMs: 200, replayed: 3 },
    ]);
  });

  it("begins before the socket fails, 2 s after a ping without a response, with a second connection", () => {
    const client = established();
    client.wait(11_999);
    expect(client.takeEvents()).toEqual([]);
    client.wait(1);
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    expect(client.takeDials()).toEqual([2]);
    expect(client.takeCloses()).toEqual([]);
    expect(client.machine.state).toBe("Established");
  });

  it("closes the old connection only when the room has accepted the new one", () => {
    const client = established();
    client.wait(12_000);
    client.open(2);
    client.receive(1, { kind: "deliver", offset: 1, from: 9, to: 0, body: Uint8Array.of(1) });
    client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    client.receive(1, { kind: "closed", code: 2, message: "a newer connection has this session" });
    client.receive(2, joinedPacket({ resumed: true, received: 0 }), { kind: "ack", position: 0 });
    expect(client.takePackets(2).at(-1)).toMatchObject({ kind: "publish", seq: 1 });
    const kinds = client.takeEvents().map(({ kind }) => kind);
    expect(kinds).toEqual(["handoverBegin", "message", "joined", "handoverEnd"]);
    expect(client.takeCloses()).toEqual([1]);
    expect(client.machine.state).toBe("Established");
  });

  it("keeps the old connection if it responds before the room knows of another", () => {
    const client = established();
    client.wait(12_000);
    client.receive(1, { kind: "pong", nonce: 0 });
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }, { kind: "handoverEnd", gapMs: 0, replayed: 0 }]);
    expect(client.takeCloses()).toEqual([2]);
    client.wait(5_000);
    expect(client.takeDials()).toEqual([2]);
  });

  it("keeps the old connection if the new one fails after its Join", () => {
    const client = established();
    client.wait(12_000);
    client.open(2);
    client.receive(1, { kind: "pong", nonce: 0 });
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    client.call((machine, nowMs) => machine.lost(2, nowMs));
    expect(client.takeEvents()).toMatchObject([{ kind: "handoverEnd" }]);
    // The room may have taken that Join all the same: then the old path is replaced by its own client, which goes on.
    client.receive(1, { kind: "closed", code: 2, message: "a newer connection has this session" });
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    client.wait(250);
    expect(client.takeDials()).toEqual([2, 3]);
  });

  it("pings at once when the network has changed, and opens another connection if there is no response", () => {
    const client = established();
    client.wait(1_000);
    client.call((machine, nowMs) => machine.networkChanged(nowMs));
    expect(client.takePackets(1)).toEqual([{ kind: "ping", nonce: 0 }]);
    client.wait(2_000);
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    expect(client.takeDials()).toEqual([2]);
  });

  it("dials at once if the network changes during the back-off", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.call((machine, nowMs) => machine.networkChanged(nowMs));
    expect(client.takeDials()).toEqual([2]);
  });

  it("drops a half-open connection after 25 s of silence", () => {
    const client = established();
    client.wait(24_999);
    expect(client.takeCloses()).not.toContain(1);
    client.wait(1);
    expect(client.takeCloses()).toContain(1);
  });

  it("fails after 30 s, reports the unacked messages, and continues with a fresh Join", () => {
    const client = established(2);
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(29_999);
    expect(client.takeEvents()).toEqual([{ kind: "handoverBegin" }]);
    client.wait(1);
    expect(client.takeEvents()).toMatchObject([
      { kind: "handoverFailed", reason: "retention", unacked: [{ id: 1 }, { id: 2 }] },
    ]);
    client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    client.wait(20_000);
    const link = client.takeDials().at(-1) ?? 0;
    client.open(link);
    client.receive(link, joinedPacket({ member: 6, received: 0 }), { kind: "ack", position: 1 });
    expect(client.takePackets(link).at(-1)).toMatchObject({ kind: "publish", seq: 1 });
    expect(client.takeEvents()).toMatchObject([
      { kind: "joined", member: 6, resumed: false },
      { kind: "acked", id: 3 },
    ]);
  });

  it.each([
    ["a fresh Joined", { resumed: false, member: 6 }],
    ["a Joined that resumes a seat whose own Joined was lost", { resumed: true, member: 6 }],
  ])(
    "fails at %s, reports what the old seat was sent as unacked, and does not send it to the new seat",
    (_, fields) => {
      const client = established(2);
      client.call((machine, nowMs) => machine.lost(1, nowMs));
      client.wait(125);
      client.open(2);
      client.receive(2, joinedPacket({ ...fields, offset: 40 }));
      expect(client.takeEvents()).toMatchObject([
        { kind: "handoverBegin" },
        { kind: "handoverFailed", reason: "seatLost", unacked: [{ id: 1 }, { id: 2 }] },
        { kind: "joined", member: 6, resumed: false },
        { kind: "gap", from: 1, to: 40 },
      ]);
      expect(client.takePackets(2).map(({ kind }) => kind)).toEqual(["join"]);
    },
  );

  it("reports no gap between two incarnations of the log", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.receive(2, joinedPacket({ epoch: 78, offset: 40 }));
    expect(client.takeEvents().map(({ kind }) => kind)).toEqual(["handoverBegin", "handoverFailed", "joined"]);
    expect(client.machine.position).toMatchObject({ epoch: 78, delivered: 40 });
  });

  it("ends as replaced if another client of the session has used the seat", () => {
    const client = established(1);
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.receive(2, joinedPacket({ resumed: true, received: 9 }));
    expect(client.takeEvents().at(-1)).toMatchObject({ kind: "closed", code: 2, unacked: [{ id: 1 }] });
  });

  it("has another 30 s if the connection is lost again, and reports one gap for both losses", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.receive(2, joinedPacket({ resumed: true }));
    client.call((machine, nowMs) => machine.lost(2, nowMs));
    client.wait(250);
    client.open(3);
    client.receive(3, joinedPacket({ resumed: true }), { kind: "ack", position: 0 });
    const events = client.takeEvents().map((event) => (event.kind === "handoverEnd" ? event.gapMs : event.kind));
    expect(events).toEqual(["handoverBegin", "joined", "joined", 375]);
  });

  it("does not give up its seat during a long replay", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.receive(2, joinedPacket({ resumed: true }));
    // Suspect once, then well again.
    client.wait(12_000);
    for (let second = 0; second < 60; second++) {
      client.receive(2, { kind: "pong", nonce: 0 });
      client.wait(1_000);
    }
    expect(client.machine.state).toBe("Standby");
    expect(client.takeEvents().map(({ kind }) => kind)).toEqual(["handoverBegin", "joined"]);
  });
});
