import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { everySplit } from "../../support/packets/cut-and-mutate.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { requestBytes } from "../../support/peers/game-peer.ts";
import { type EdgeBatch, gate } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const secret = new Uint8Array(16).fill(7);
const check: ServiceRequest = { kind: "check", sessid: 7 };
const unknown: ServiceRequest = { kind: "check", sessid: 8 };
const enter: ServiceRequest = { kind: "checkAccess", sessid: 7, resource: "open:door" };
const identify: ServiceRequest = { kind: "identify", token: makeToken(7, secret) };
const deletion: ServiceRequest = { kind: "delete", sessid: 7, user: "kim" };

let stack: TestBridge;
beforeEach(async () => {
  stack = await TestBridge.openWithLease();
  stack.edge.sessions.users.set(7, "kim");
});
afterEach(() => stack.close());

/** The status of each response that the requests get, sent as one write. */
async function statuses(...requests: readonly ServiceRequest[]): Promise<Status[]> {
  const peer = await stack.connect();
  peer.send(...requests);
  return (await peer.received(requests.length)).map(({ status }) => status);
}

describe("a bridge that holds a lease", () => {
  it("answers from memory what the edge has said Ok to, and counts it", async () => {
    expect(await statuses(check)).toEqual([Status.Ok]);
    expect(await statuses(check, check, check)).toEqual([Status.Ok, Status.Ok, Status.Ok]);
    expect(stack.edge.batches).toEqual([["check"]]);
    expect(await stack.metric("artoria_bridge_cache_hits_total")).toBe(3);
    expect(await stack.metric("artoria_bridge_cache_misses_total")).toBe(1);
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(1);
    expect(await stack.metric('artoria_bridge_packets_total{type="check",status="Ok"}')).toBe(4);
  });

  it("asks the edge each time about a session that is not valid", async () => {
    expect(await statuses(unknown)).toEqual([Status.NotFound]);
    stack.edge.sessions.users.set(8, "lee");
    expect(await statuses(unknown)).toEqual([Status.Ok]);
    expect(stack.edge.batches).toEqual([["check"], ["check"]]);
  });

  it("compares the grants of a session with a resource, and asks the edge before it says Denied", async () => {
    expect(await statuses(enter)).toEqual([Status.Ok]);
    const other = { ...enter, resource: "open:\u{1f6aa}" };
    const shut = { ...enter, resource: "shut:door" };
    expect(await statuses(other, check, other)).toEqual([Status.Ok, Status.Ok, Status.Ok]);
    expect(stack.edge.batches).toEqual([["checkAccess"]]);
    expect(await statuses(shut)).toEqual([Status.Denied]);
    expect(stack.edge.batches).toEqual([["checkAccess"], ["checkAccess"]]);
  });

  it("does not know the grants of a session by a check alone", async () => {
    await statuses(check);
    expect(await statuses(enter)).toEqual([Status.Ok]);
    expect(stack.edge.batches).toEqual([["check"], ["checkAccess"]]);
  });

  it("tells whose session a token is, if the token is the one that the edge has seen", async () => {
    const peer = await stack.connect();
    peer.send(identify);
    await peer.received(1);
    peer.send(identify, { ...identify, resource: "open:x" });
    const session = { sessid: 7, user: "kim" };
    const known = { kind: "identify", status: Status.Ok, session };
    expect(await peer.received(3)).toEqual([known, known, known]);
    expect(stack.edge.batches).toEqual([["identify"]]);
    for (let byte = 0; byte < 16; byte++) {
      const wrong = { ...identify, token: makeToken(7, secret.with(byte, 0)) };
      expect(await statuses(wrong)).toEqual([Status.NotFound]);
    }
    expect(await statuses({ ...identify, resource: "shut" })).toEqual([Status.Denied]);
    expect(stack.edge.batches).toHaveLength(1 + 16 + 1);
  });

  it("leaves to the edge what is malformed", async () => {
    await statuses(enter, identify);
    const token = makeToken(7, secret);
    const peer = await stack.connect();
    peer.socket.write(
      Buffer.concat([
        new PacketBytes().u32(7).u8(0).packet(1),
        new PacketBytes().u8(7).packet(1),
        new PacketBytes().u32(7).string("").packet(11),
        new PacketBytes().u32(7).string("open:\0").packet(11),
        new PacketBytes().u32(7).string("open:").u8(0).packet(11),
        new PacketBytes().u32(7).packet(11),
        new PacketBytes().u32(7).u8(2).u8(0).u8(0xc3).u8(0x28).packet(11),
        new PacketBytes()
          .u32(7)
          .string(`open:${"x".repeat(508)}`)
          .packet(11),
        new PacketBytes().bytes(token).packet(13),
        new PacketBytes().bytes(token.subarray(0, 19)).packet(13),
        new PacketBytes().bytes(token).string("").u8(0).packet(13),
      ]),
    );
    const responses = await peer.received(11);
    expect(responses.map(({ status }) => status)).toEqual(Array(11).fill(Status.Invalid));
  });

  it("answers in the order of the requests, with the first that it must ask about", async () => {
    await statuses(check, identify);
    const peer = await stack.connect();
    peer.send(check, identify, unknown, check, { kind: "count" }, identify);
    const responses = await peer.received(6);
    expect(responses.map(({ kind, status }) => [kind, status])).toEqual([
      ["check", Status.Ok],
      ["identify", Status.Ok],
      ["check", Status.NotFound],
      ["check", Status.Ok],
      ["count", Status.Ok],
      ["identify", Status.Ok],
    ]);
    expect(stack.edge.batches.at(-1)).toEqual(["check", "check", "count", "identify"]);
  });

  it("answers the same wherever the stream is split", async () => {
    await statuses(check, enter, identify);
    const asked: readonly ServiceRequest[] = [check, enter, identify, check];
    const bytes = requestBytes(...asked);
    const peer = await stack.connect();
    for (const [head, tail] of everySplit(bytes)) {
      peer.responses.length = 0;
      peer.socket.write(head ?? bytes);
      await new Promise((sent) => peer.socket.write(new Uint8Array(0), sent));
      peer.socket.write(tail ?? bytes);
      const responses = await peer.received(asked.length);
      expect(responses.map(({ kind }) => kind)).toEqual(asked.map(({ kind }) => kind));
    }
    expect(stack.edge.batches).toHaveLength(1);
  });

  it("answers a run that is longer than its buffer", async () => {
    await statuses(identify);
    const peer = await stack.connect();
    peer.send(...Array(20_000).fill(identify));
    const responses = await peer.received(20_000);
    expect(responses.every(({ status }) => status === Status.Ok)).toBe(true);
  });

  it("asks the edge while an earlier request of the same connection has no response", async () => {
    await statuses(check);
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const peer = await stack.connect();
    peer.send({ kind: "count" });
    await until(() => stack.edge.batches.length === 2);
    peer.send(check);
    expect(await statuses(check)).toEqual([Status.Ok]);
    expect(peer.responses).toEqual([]);
    open();
    expect((await peer.received(2)).map(({ kind }) => kind)).toEqual(["count", "check"]);
    expect(stack.edge.batches).toEqual([["check"], ["count"], ["check"]]);
  });

  it("counts no failure for what it answers, and refuses no known session for the failures of others", async () => {
    await stack.close();
    stack = await TestBridge.openWithLease({ BRIDGE_MAX_FAILURES_PER_MINUTE: "1" });
    stack.edge.sessions.users.set(7, "kim");
    await statuses(check);
    expect(await statuses(check, check, unknown)).toEqual([Status.Ok, Status.Ok, Status.NotFound]);
    expect(await statuses(unknown)).toEqual([Status.TooMany]);
    expect(await statuses(check)).toEqual([Status.Ok]);
  });

  it("answers nothing before the service key", async () => {
    await stack.close();
    const key = "a-service-key-of-32-characters-1";
    stack = await TestBridge.openWithLease({ BRIDGE_SERVICE_KEYS: key });
    stack.edge.sessions.users.set(7, "kim");
    const keyed = await stack.connect();
    keyed.socket.write(new PacketBytes().string(key).packet(18));
    keyed.send(check);
    await keyed.received(2);
    keyed.send(check);
    await keyed.received(3);
    expect(await stack.metric("artoria_bridge_cache_hits_total")).toBe(1);
    const peer = await stack.connect();
    peer.send(check, check);
    expect((await peer.untilEnded()).map(({ kind, status }) => [kind, status])).toEqual([["error", Status.Denied]]);
  });
});

describe("a write through the bridge", () => {
  it("makes it forget the session before it is sent", async () => {
    await statuses(check);
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const peer = await stack.connect();
    peer.send(deletion);
    await until(() => stack.edge.batches.length === 2);
    expect(await statuses(check)).toEqual([Status.Ok]);
    expect(stack.edge.batches).toEqual([["check"], ["delete"], ["check"]]);
    open();
    await peer.received(1);
    expect(await statuses(check)).toEqual([Status.NotFound]);
  });

  it("makes it keep no response that was under way when the write was answered", async () => {
    const { fault, open } = gate();
    const peer = await stack.connect();
    const hold = async (batch: EdgeBatch, response: ServerResponse): Promise<"done"> => {
      const responses = batch.responses();
      await fault(batch, response);
      response.end(responses);
      return "done";
    };
    stack.edge.faults.push(hold);
    peer.send(check);
    await until(() => stack.edge.batches.length === 1);
    expect(await statuses(deletion)).toEqual([Status.Ok]);
    open();
    // It was true when it was asked, and may still be said to whom asked then.
    expect((await peer.received(1))[0]?.status).toBe(Status.Ok);
    expect(await statuses(check)).toEqual([Status.NotFound]);
  });

  it("makes it keep nothing of the same batch that is about the same session", async () => {
    expect(
      await statuses({ kind: "register", sessid: 9, ip: null, user: "lee" }, { kind: "check", sessid: 9 }, check),
    ).toEqual([...[Status.Ok, Status.Ok, Status.Ok]]);
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(1);
    await statuses(check);
    expect(stack.edge.batches).toHaveLength(1);
  });
});

describe("what a bridge keeps", () => {
  it("is no more than BRIDGE_CACHE_SESSIONS", async () => {
    await stack.close();
    stack = await TestBridge.openWithLease({ BRIDGE_CACHE_SESSIONS: "2" });
    const sessids = [1, 2, 3];
    for (const sessid of sessids) stack.edge.sessions.users.set(sessid, "kim");
    await statuses(...sessids.map((sessid) => ({ kind: "check", sessid }) as const));
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(2);
  });

  it("is asked again while it is in use, by a check that no client sees", async () => {
    await stack.close();
    stack = await TestBridge.openWithLease({ BRIDGE_CACHE_MS: "1000" });
    stack.edge.sessions.users.set(7, "kim").set(8, "lee");
    const peer = await stack.connect();
    peer.send(check, unknown);
    await peer.received(2);
    // The edge is asked about the session that was used, without any client.
    const used = setInterval(() => peer.send(check), 20);
    await until(() => stack.edge.batches.length >= 4);
    clearInterval(used);
    expect(stack.edge.batches.slice(1).every((batch) => batch.length === 1 && batch[0] === "check")).toBe(true);
    expect(peer.responses.every(({ status }) => status === Status.Ok)).toBe(true);
  });

  it("is nothing if the keep block does not fit the batch, which then has no response either", async () => {
    stack.edge.fault = (batch, response) => {
      response.end(Buffer.concat([batch.responses(), new Uint8Array(1)]));
      return "done";
    };
    expect(await statuses(check)).toEqual([Status.Unavailable]);
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(0);
    expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="edge_bad_response"}')).toBe(2);
  });

  it("is nothing for a session of which the edge says 0 seconds", async () => {
    stack.edge.keepSeconds = 0;
    await statuses(check, enter, identify);
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(0);
  });
});
