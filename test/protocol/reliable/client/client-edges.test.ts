import { describe, expect, it } from "vitest";
import { ClientProbe, joinedPacket } from "../../../support/rooms/client-probe.ts";

const HELLO = Buffer.from("hello");
const REPLACED = { kind: "closed", code: 2, message: "a newer connection has this session" } as const;

function established(config = {}): ClientProbe {
  const client = new ClientProbe(config);
  client.establish();
  return client;
}

describe("a client machine", () => {
  it("ends as replaced when its own late resume cannot be the reason", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.call((machine, nowMs) => machine.lost(2, nowMs));
    client.wait(250);
    client.open(3);
    client.receive(3, joinedPacket({ resumed: true }), { kind: "ack", position: 0 });
    client.receive(3, REPLACED);
    expect(client.takeEvents().at(-1)).toMatchObject({ kind: "closed", code: 2 });
  });

  it("ignores one Replaced for each of its own fresh Joins that may arrive late", () => {
    const client = new ClientProbe();
    client.call((machine, nowMs) => machine.connect(nowMs));
    client.open(1);
    client.wait(10_125);
    client.open(2);
    client.receive(2, joinedPacket(), { kind: "ack", position: 0 });
    client.receive(2, REPLACED);
    expect(client.takeEvents().at(-1)).toEqual({ kind: "handoverBegin" });
    client.wait(250);
    client.open(3);
    client.receive(3, joinedPacket({ resumed: true }), { kind: "ack", position: 0 }, REPLACED);
    expect(client.takeEvents().at(-1)).toMatchObject({ kind: "closed", code: 2 });
  });

  it("reports only the part of a gap that it has not received, and acks it at once", () => {
    const client = established();
    client.receive(1, { kind: "deliver", offset: 5, from: 9, to: 0, body: Uint8Array.of(1) });
    client.receive(1, { kind: "gap", from: 3, to: 8 });
    expect(client.takeEvents().at(-1)).toEqual({ kind: "gap", from: 6, to: 8 });
    expect(client.takePackets(1)).toEqual([{ kind: "ack", position: 8 }]);
  });

  it("gives a dial that is in progress 2 s when the network has changed", () => {
    const client = new ClientProbe();
    client.call((machine, nowMs) => machine.connect(nowMs));
    client.call((machine, nowMs) => machine.networkChanged(nowMs));
    client.wait(1_999);
    expect(client.takeCloses()).toEqual([]);
    client.wait(1);
    expect(client.takeCloses()).toEqual([1]);
  });

  it("starts its back-off again once the session is established", () => {
    const client = established();
    for (let link = 2; link <= 6; link++) {
      client.call((machine, nowMs) => machine.lost(link - 1, nowMs));
      client.wait(125);
      client.open(link);
      client.receive(link, joinedPacket({ resumed: true }), { kind: "ack", position: 0 });
    }
    expect(client.takeDials()).toEqual([2, 3, 4, 5, 6]);
  });

  it("backs off further with every dial that fails", () => {
    const client = established();
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    for (const [index, delayMs] of [125, 250, 500, 1_000, 2_000, 4_000, 4_000].entries()) {
      client.wait(delayMs - 1);
      expect(client.takeDials()).toEqual([]);
      client.wait(1);
      expect(client.takeDials()).toEqual([index + 2]);
      client.call((machine, nowMs) => machine.lost(index + 2, nowMs));
    }
  });

  it("writes before it closes", () => {
    const client = established();
    client.call((machine, nowMs) => {
      machine.send(HELLO, 0, nowMs);
      machine.lost(1, nowMs, 2);
    });
    expect(client.outputs.map(({ kind }) => kind).slice(0, 2)).toEqual(["write", "close"]);
  });

  it("ignores packets after Closed", () => {
    const client = established();
    client.receive(1, REPLACED, { kind: "ack", position: 99 });
    expect(client.takeEvents()).toMatchObject([{ kind: "closed", code: 2 }]);
  });

  it("accepts new messages after a handover failed with a full window", () => {
    const client = established({ limits: { windowMessages: 1 } });
    client.call((machine, nowMs) => machine.send(HELLO, 0, nowMs));
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    expect(client.machine.send(HELLO, 0, client.nowMs)).toEqual({ kind: "full" });
    client.wait(30_000);
    expect(client.takeEvents().map(({ kind }) => kind)).toEqual(["handoverBegin", "handoverFailed", "writable"]);
  });

  it("delivers nothing twice if the history of a new seat overlaps with what it has", () => {
    const client = established();
    client.receive(1, { kind: "deliver", offset: 5, from: 9, to: 0, body: Uint8Array.of(1) });
    client.call((machine, nowMs) => machine.lost(1, nowMs));
    client.wait(125);
    client.open(2);
    client.takeEvents();
    const history = [4, 5, 6].map((offset) => ({ kind: "deliver", offset, from: 9, to: 0, body: HELLO }) as const);
    client.receive(2, joinedPacket({ member: 6, offset: 3 }), ...history);
    expect(client.takeEvents().filter(({ kind }) => kind === "message")).toMatchObject([{ offset: 6 }]);
  });
});
