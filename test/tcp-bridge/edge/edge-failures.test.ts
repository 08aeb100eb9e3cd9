import { afterEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { breakConnection, type EdgeFault, gate, hang, respond } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const everyRequest: readonly ServiceRequest[] = [
  { kind: "check", sessid: 7 },
  { kind: "register", sessid: 7, ip: null, user: "kim" },
  { kind: "delete", sessid: 7, user: "kim" },
  { kind: "count" },
  { kind: "checkAccess", sessid: 7, resource: "door" },
  { kind: "identify", token: new Uint8Array(20) },
];
const check: ServiceRequest = { kind: "check", sessid: 7 };
const ok = new PacketBytes().u8(Status.Ok);

let stack: TestBridge;
afterEach(() => stack.close());

describe("an edge that fails", () => {
  it("that hangs makes each response Unavailable within the deadline, until it recovers", async () => {
    stack = await TestBridge.open({ BRIDGE_EDGE_DEADLINE_MS: "500" });
    stack.edge.fault = hang;
    const peer = await stack.connect();
    const startMs = performance.now();
    peer.send(...everyRequest);
    peer.socket.write(new PacketBytes().packet(999));
    const responses = await peer.received(7);
    // Generous for a loaded machine, but less than the two further deadlines that a missing deadline would take.
    expect(performance.now() - startMs).toBeLessThan(1500);
    expect(responses.map(({ kind }) => kind)).toEqual([...everyRequest.map(({ kind }) => kind), "error"]);
    expect(responses.map(({ status }) => status)).toEqual(Array(7).fill(Status.Unavailable));
    expect(responses[3]).toEqual({ kind: "count", status: Status.Unavailable, sessions: 0, users: 0 });
    expect(responses[5]).toEqual({ kind: "identify", status: Status.Unavailable, session: null });
    expect(stack.edge.batches).toHaveLength(2);
    stack.edge.fault = undefined;
    peer.send(check);
    expect((await peer.received(8))[7]?.status).toBe(Status.NotFound);
  });

  it("that hangs does not delay packets that wait behind its batches beyond the deadline", async () => {
    stack = await TestBridge.open({ BRIDGE_EDGE_DEADLINE_MS: "500", BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    stack.edge.fault = hang;
    const peers = await Promise.all([stack.connect(), stack.connect(), stack.connect()]);
    const startMs = performance.now();
    for (const peer of peers) {
      peer.send(check);
      await until(() => stack.edge.batches.length > 0);
    }
    for (const peer of peers) expect((await peer.received(1))[0]?.status).toBe(Status.Unavailable);
    expect(performance.now() - startMs).toBeLessThan(1500);
    // The first batch and its retry. The other packets had too little time left to be sent.
    expect(stack.edge.batches).toEqual([["check"], ["check"]]);
  });

  it.each<[string, EdgeFault]>([
    ["a status of its own trouble", respond(500)],
    ["a broken connection", breakConnection],
    ["no response at all", respond(200)],
    ["half a response", respond(200, ok.packet(2).subarray(0, 4))],
    ["a response too many", respond(200, Buffer.concat([ok.packet(2), ok.packet(2)]))],
    ["the response to another type", respond(200, ok.packet(4))],
    ["a response with a field too many", respond(200, new PacketBytes().u8(0).u8(0).packet(2))],
    ["a status that there is not", respond(200, new PacketBytes().u8(7).packet(2))],
    ["an ErrorResponse to a known type", respond(200, new PacketBytes().u8(0).string("").packet(127))],
    ["no packets", respond(200, "<html>not an edge</html>")],
  ])("gets a second attempt, which says that it is one, after %s", async (_why, fault) => {
    stack = await TestBridge.open();
    stack.edge.sessions.users.set(7, "kim");
    stack.edge.faults.push(fault);
    const peer = await stack.connect();
    peer.send(check);
    expect(await peer.received(1)).toEqual([{ kind: "check", status: Status.Ok }]);
    expect(stack.edge.batches).toHaveLength(2);
    stack.edge.faults.push(fault, fault);
    peer.send(check);
    expect((await peer.received(2))[1]).toEqual({ kind: "check", status: Status.Unavailable });
    expect(stack.edge.batches).toHaveLength(4);
    expect(stack.edge.repeats).toEqual([false, true, false, true]);
  });

  const identified = (userBytes: number, user: string) =>
    new PacketBytes().u8(0).i32(7).u16(userBytes).bytes(Buffer.from(user)).packet(14);

  it.each([
    ["is shorter than its length says", identified(4, "kim")],
    ["is longer than its length says", identified(2, "kim")],
    ["is longer than any user", identified(129, "u".repeat(129))],
    ["is missing", new PacketBytes().u8(0).i32(7).packet(14)],
  ])("whose identified user %s gets a second attempt", async (_why, broken) => {
    stack = await TestBridge.open();
    stack.edge.faults.push(respond(200, broken), respond(200, identified(3, "kim")));
    const peer = await stack.connect();
    peer.send({ kind: "identify", token: new Uint8Array(20) });
    const session = { sessid: 7, user: "kim" };
    expect(await peer.received(1)).toEqual([{ kind: "identify", status: Status.Ok, session }]);
    expect(stack.edge.batches).toHaveLength(2);
  });

  it("gets no second attempt of a batch that contains an Issue", async () => {
    stack = await TestBridge.open();
    stack.edge.faults.push(breakConnection);
    const peer = await stack.connect();
    peer.send({ kind: "issue", ip: null, user: "kim" }, check);
    const [issued] = await peer.received(2);
    expect(issued).toMatchObject({ kind: "issue", status: Status.Unavailable, sessid: 0, token: new Uint8Array(20) });
    expect(stack.edge.batches).toEqual([["issue", "check"]]);
  });

  it.each<[string, string, EdgeFault]>([
    ["does not accept the key", "edge_unauthenticated", respond(401, '{"code":"unauthenticated"}')],
    ["has no keys", "edge_not_configured", respond(503, '{"code":"not_configured"}')],
    ["rejects the batch", "edge_rejected", respond(400, '{"code":"invalid"}')],
  ])("that %s gets one attempt, and the log says why, without the key", async (_what, code, fault) => {
    stack = await TestBridge.open();
    stack.edge.fault = fault;
    const peer = await stack.connect();
    for (let count = 1; count <= 3; count++) {
      peer.send(check);
      expect((await peer.received(count))[count - 1]?.status).toBe(Status.Unavailable);
    }
    expect(stack.edge.batches).toHaveLength(3);
    // Three failures, one line: the rate is limited.
    expect(stack.log.filter((line) => line.includes(code))).toHaveLength(1);
    expect(stack.log.join("")).not.toContain(stack.edge.apiKey);
    expect(await stack.metric(`artoria_bridge_edge_seconds_count{outcome="${code}"}`)).toBe(3);
  });

  it("does not delay the connections whose batch it responds to", async () => {
    stack = await TestBridge.open();
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const [slow, quick] = await Promise.all([stack.connect(), stack.connect()]);
    slow.send(check);
    await until(() => stack.edge.batches.length === 1);
    quick.send(check);
    expect(await quick.received(1)).toHaveLength(1);
    expect(slow.responses).toHaveLength(0);
    open();
    expect(await slow.received(1)).toHaveLength(1);
  });
});
