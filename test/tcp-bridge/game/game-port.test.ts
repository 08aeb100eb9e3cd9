import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { everySplit } from "../../support/packets/cut-and-mutate.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { requestBytes } from "../../support/peers/game-peer.ts";
import { gate } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const conversation: readonly ServiceRequest[] = [
  { kind: "check", sessid: 7 },
  { kind: "register", sessid: 7, ip: "10.0.0.1", user: "kim" },
  { kind: "register", sessid: 7, ip: null, user: "lee" },
  { kind: "check", sessid: 7 },
  { kind: "checkAccess", sessid: 7, resource: "open:door" },
  { kind: "count" },
  { kind: "identify", token: makeToken(7, new Uint8Array(16).fill(7)) },
  { kind: "identify", token: makeToken(7, new Uint8Array(16)), resource: "open:door" },
  { kind: "delete", sessid: 7, user: "lee" },
  { kind: "delete", sessid: 7, user: "kim" },
  { kind: "check", sessid: 7 },
];
const verdicts = [
  Status.NotFound,
  Status.Ok,
  Status.Conflict,
  Status.Ok,
  Status.Ok,
  Status.Ok,
  Status.Ok,
  Status.NotFound,
  Status.Denied,
  Status.Ok,
  Status.NotFound,
];

let stack: TestBridge;
beforeEach(async () => {
  stack = await TestBridge.open();
});
afterEach(() => stack.close());

describe("the game-server port", () => {
  it("responds to pipelined requests in their order, which is the order of their effects", async () => {
    const peer = await stack.connect();
    peer.send(...conversation);
    const responses = await peer.received(conversation.length);
    expect(responses.map(({ kind }) => kind)).toEqual(conversation.map(({ kind }) => kind));
    expect(responses.map(({ status }) => status)).toEqual(verdicts);
    expect(responses[5]).toEqual({ kind: "count", status: Status.Ok, sessions: 1, users: 1 });
    expect(responses[6]).toEqual({ kind: "identify", status: Status.Ok, session: { sessid: 7, user: "kim" } });
  });

  it("keeps the order wherever the stream is split", async () => {
    const bytes = requestBytes(...conversation);
    const peer = await stack.connect();
    for (const [head, tail] of everySplit(bytes)) {
      peer.responses.length = 0;
      peer.socket.write(head ?? bytes);
      // Two segments: the second is sent when the system has taken the first.
      await new Promise((sent) => peer.socket.write(new Uint8Array(0), sent));
      peer.socket.write(tail ?? bytes);
      const responses = await peer.received(conversation.length);
      expect(responses.map(({ status }) => status)).toEqual(verdicts);
    }
  });

  it("keeps the order of requests that arrive while a batch is in flight", async () => {
    const peer = await stack.connect();
    for (let round = 1; round <= 50; round++) {
      peer.send(...conversation);
      await new Promise((turn) => setImmediate(turn));
    }
    const responses = await peer.received(50 * conversation.length);
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => verdicts).flat());
  });

  it("never has packets of one connection in two batches at once", async () => {
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const [peer, other] = [await stack.connect(), await stack.connect()];
    peer.send({ kind: "register", sessid: 7, ip: null, user: "kim" });
    await until(() => stack.edge.batches.length === 1);
    peer.send({ kind: "check", sessid: 7 });
    for (let count = 1; count <= 3; count++) {
      other.send({ kind: "count" });
      await other.received(count);
    }
    expect(stack.edge.batches.flat()).not.toContain("check");
    open();
    expect((await peer.received(2)).map(({ status }) => status)).toEqual([Status.Ok, Status.Ok]);
  });

  it("sends the packets of many connections in one batch", async () => {
    const peers = await Promise.all(Array.from({ length: 40 }, () => stack.connect()));
    const { fault, open } = gate();
    stack.edge.fault = fault;
    // As many batches as may be in flight. The other packets wait, and are sent together.
    for (const [index, peer] of peers.entries()) {
      peer.send({ kind: "check", sessid: 1 });
      if (index < 4) await until(() => stack.edge.batches.length === index + 1);
    }
    await until(async () => (await stack.metric("artoria_bridge_packets_waiting")) === 36);
    open();
    await Promise.all(peers.slice(4).map((peer) => peer.received(1)));
    expect(stack.edge.batches.map((batch) => batch.length)).toEqual([1, 1, 1, 1, 36]);
  });

  it("responds to an unknown type with ErrorResponse(Invalid) in its place, and goes on", async () => {
    const peer = await stack.connect();
    peer.socket.write(requestBytes({ kind: "count" }));
    peer.socket.write(new PacketBytes().u32(5).packet(999));
    peer.socket.write(requestBytes({ kind: "check", sessid: 9 }));
    const responses = await peer.received(3);
    expect(responses.map(({ kind, status }) => [kind, status])).toEqual([
      ["count", Status.Ok],
      ["error", Status.Invalid],
      ["check", Status.NotFound],
    ]);
  });

  it("responds to the requests before a broken frame, then with ErrorResponse(Invalid), and closes", async () => {
    const peer = await stack.connect();
    const broken = new PacketBytes().packet(1, 3);
    peer.socket.write(Buffer.concat([requestBytes({ kind: "count" }), broken, requestBytes({ kind: "count" })]));
    const responses = await peer.untilEnded();
    expect(responses.map(({ kind, status }) => [kind, status])).toEqual([
      ["count", Status.Ok],
      ["error", Status.Invalid],
    ]);
    expect(stack.edge.batches).toEqual([["count"]]);
    peer.socket.end();
    await until(async () => (await stack.metric('artoria_bridge_disconnects_total{code="protocol_error"}')) === 1);
  });

  it("responds to a client that has closed its side, then closes", async () => {
    const peer = await stack.connect();
    peer.socket.end(requestBytes(...conversation));
    const responses = await peer.untilEnded();
    expect(responses.map(({ status }) => status)).toEqual(verdicts);
  });

  it("does not execute a packet inside which the connection was closed", async () => {
    const peer = await stack.connect();
    const register = requestBytes({ kind: "register", sessid: 8, ip: null, user: "kim" });
    peer.socket.end(Buffer.concat([requestBytes({ kind: "count" }), register.subarray(0, register.byteLength - 1)]));
    expect(await peer.untilEnded()).toHaveLength(1);
    expect(stack.edge.batches).toEqual([["count"]]);
    expect(stack.edge.sessions.users.size).toBe(0);
  });
});
