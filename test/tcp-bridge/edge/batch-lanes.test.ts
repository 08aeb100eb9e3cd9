import { afterEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { type EdgeFault, gate, hang } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const check: ServiceRequest = { kind: "check", sessid: 7 };
const register: ServiceRequest = { kind: "register", sessid: 7, ip: null, user: "kim" };
const deletion: ServiceRequest = { kind: "delete", sessid: 7, user: "kim" };

/** Makes the batches that contain a delete wait, as an edge does whose leases run, until `open` is called. */
function holdDeletes(edge: TestBridge["edge"]): { readonly open: () => void } {
  const { fault, open } = gate();
  const hold: EdgeFault = (batch, response) =>
    batch.requests.some(({ kind }) => kind === "delete") ? fault(batch, response) : "respond";
  edge.fault = hold;
  return { open };
}

let stack: TestBridge;
afterEach(() => stack.close());

describe("a delete that the edge lets wait", () => {
  it("delays no check and no register of another connection", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    const { open } = holdDeletes(stack.edge);
    const [deleting, other] = await Promise.all([stack.connect(), stack.connect()]);
    deleting.send(register, deletion);
    await until(() => stack.edge.batches.some((batch) => batch.includes("delete")));
    other.send(check, { kind: "register", sessid: 8, ip: null, user: "lee" }, check);
    expect((await other.received(3)).map(({ status }) => status)).toEqual([Status.Ok, Status.Ok, Status.Ok]);
    expect(deleting.responses).toHaveLength(1);
    open();
    expect((await deleting.received(2))[1]).toEqual({ kind: "delete", status: Status.Ok });
  });

  it("delays no check that its own connection sent before it", async () => {
    stack = await TestBridge.open();
    const { open } = holdDeletes(stack.edge);
    const peer = await stack.connect();
    peer.send(check, check, deletion, check, register, check);
    await peer.received(2);
    // What follows it has to wait for its response anyway, and goes with it.
    await until(() => stack.edge.batches.length === 2);
    expect(stack.edge.batches).toEqual([
      ["check", "check"],
      ["delete", "check", "register", "check"],
    ]);
    open();
    expect((await peer.received(6)).map(({ kind }) => kind)).toEqual([
      ...["check", "check", "delete", "check", "register", "check"],
    ]);
  });

  it("is given the revocation bound of the edge beyond the deadline", async () => {
    // The bound is the longest, 60 s.
    stack = await TestBridge.openWithLease({ BRIDGE_EDGE_DEADLINE_MS: "100" });
    const { fault, open } = gate();
    stack.edge.fault = fault;
    const [deleting, checking] = await Promise.all([stack.connect(), stack.connect()]);
    deleting.send(deletion);
    await until(() => stack.edge.batches.length === 1);
    checking.send(check);
    expect((await checking.received(1))[0]?.status).toBe(Status.Unavailable);
    expect(deleting.responses).toEqual([]);
    open();
    expect((await deleting.received(1))[0]?.status).toBe(Status.NotFound);
    expect(stack.edge.batches.filter((batch) => batch.includes("delete"))).toHaveLength(1);
  });

  it("takes nothing from the deadline of what its own connection sent after it", async () => {
    stack = await TestBridge.openWithLease({ BRIDGE_EDGE_DEADLINE_MS: "1000" });
    stack.edge.sessions.users.set(8, "lee");
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const peer = await stack.connect();
    peer.send(deletion);
    await until(() => stack.edge.batches.length === 1);
    peer.send({ kind: "check", sessid: 8 });
    // Longer than the deadline.
    stack.edge.faults.push(hang, hang);
    const other = await stack.connect();
    other.send(check);
    expect((await other.received(1))[0]?.status).toBe(Status.Unavailable);
    open();
    expect((await peer.received(2)).map(({ status }) => status)).toEqual([Status.NotFound, Status.Ok]);
  });

  it("delays the deletes of others by one batch at most", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    const { open } = holdDeletes(stack.edge);
    const peers = await Promise.all(Array.from({ length: 5 }, () => stack.connect()));
    for (const [index, peer] of peers.entries()) {
      peer.send(deletion);
      if (index === 0) await until(() => stack.edge.batches.length === 1);
    }
    await until(async () => (await stack.metric("artoria_bridge_packets_waiting")) === 4);
    open();
    for (const peer of peers) expect((await peer.received(1))[0]?.status).toBe(Status.NotFound);
    expect(stack.edge.batches.map((batch) => batch.length)).toEqual([1, 4]);
  });
});

describe("checks that the edge lets wait", () => {
  it("delay no delete of another connection", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_BATCHES_IN_FLIGHT: "1" });
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    const [checking, deleting] = await Promise.all([stack.connect(), stack.connect()]);
    checking.send(check);
    await until(() => stack.edge.batches.length === 1);
    deleting.send(deletion);
    expect(await deleting.received(1)).toEqual([{ kind: "delete", status: Status.NotFound }]);
    open();
    await checking.received(1);
  });
});

describe("an address without failures left", () => {
  it("gets TooMany for its guesses, and a response to what goes in another lane", async () => {
    stack = await TestBridge.open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "1" });
    const peer = await stack.connect();
    const issue: ServiceRequest = { kind: "issue", ip: null, user: "kim" };
    peer.send(check);
    await peer.received(1);
    peer.send(check, issue, check, { kind: "count" }, deletion, issue);
    expect((await peer.received(7)).slice(1).map(({ kind, status }) => [kind, status])).toEqual([
      ["check", Status.TooMany],
      ["issue", Status.Ok],
      ["check", Status.TooMany],
      ["count", Status.Ok],
      ["delete", Status.TooMany],
      ["issue", Status.Ok],
    ]);
  });
});
