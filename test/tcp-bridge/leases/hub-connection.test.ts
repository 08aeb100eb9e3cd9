import { afterEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { PACKAGE_VERSION, PACKAGE_VERSION_PATTERN } from "../../../protocol/versions.ts";
import type { PacketEdge } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const check: ServiceRequest = { kind: "check", sessid: 7 };

let stack: TestBridge;
afterEach(() => stack.close());

async function openKnowing7(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  stack = await TestBridge.openWithLease(variables);
  stack.edge.sessions.users.set(7, "kim");
  expect(await ask()).toBe("store");
  expect(await ask()).toBe("memory");
}

/** Checks session 7, which is valid, and returns who answered. */
async function ask(): Promise<"memory" | "store"> {
  const before = stack.edge.batches.length;
  const peer = await stack.connect();
  peer.send(check);
  expect((await peer.received(1))[0]?.status).toBe(Status.Ok);
  return stack.edge.batches.length === before ? "memory" : "store";
}

function letIn(edge: PacketEdge): void {
  edge.hub.refusal = undefined;
  edge.keepSeconds = 60;
}

describe("the connection to the hub", () => {
  it("shows the API key and renews the lease", async () => {
    await openKnowing7();
    const hub = await stack.edge.hub.peer();
    expect(hub.headers.authorization).toBe(`Bearer ${stack.edge.apiKey}`);
    expect(hub.renewals).toEqual([1]);
    expect(await stack.metric('artoria_bridge_hub_messages_total{kind="granted"}')).toBe(1);
    expect(stack.log.join("")).not.toContain(stack.edge.apiKey);
  });

  it("is counted: when the lease was granted, how much may be kept, what was acked, and what ended it", async () => {
    const beganSeconds = Date.now() / 1000;
    await openKnowing7({ BRIDGE_CACHE_SESSIONS: "1234" });
    const grantedSeconds = await stack.metric("artoria_bridge_lease_granted_timestamp_seconds");
    expect(grantedSeconds).toBeGreaterThanOrEqual(Math.floor(beganSeconds));
    expect(grantedSeconds).toBeLessThanOrEqual(Date.now() / 1000);
    expect(await stack.metric("artoria_bridge_cache_max_sessions")).toBe(1234);
    const hub = await stack.edge.hub.peer();
    await hub.change(7);
    await hub.change();
    expect(await stack.metric("artoria_bridge_hub_acks_total")).toBe(2);
    expect(await stack.metric("artoria_bridge_hub_connections_total")).toBe(1);
    hub.socket.terminate();
    await until(async () => (await stack.metric("artoria_bridge_hub_connections_total")) === 2);
    expect(await stack.metric('artoria_bridge_hub_disconnects_total{code="hub_lost"}')).toBe(1);
  });

  it("announces the bridge's version, and tells the hub what the bridge keeps and has answered when it asks", async () => {
    await openKnowing7({ BRIDGE_CHECK_PORT: "0" });
    const hub = await stack.edge.hub.peer();
    expect(hub.headers["x-artoria-bridge"]).toBe(PACKAGE_VERSION);
    expect(hub.headers["x-artoria-bridge"]).toMatch(PACKAGE_VERSION_PATTERN);
    expect(await hub.status()).toEqual({ kind: "status", kept: 1, answered: 2, fromMemory: 1 });
    await ask();
    expect(await hub.status()).toEqual({ kind: "status", kept: 1, answered: 3, fromMemory: 2 });
    expect(hub.closeCode).toBeUndefined();
  });

  it("makes the bridge forget the sessions that the hub names, before it acks them", async () => {
    await openKnowing7();
    await (await stack.edge.hub.peer()).change(6, 7);
    expect(await ask()).toBe("store");
    expect(await ask()).toBe("memory");
    await (await stack.edge.hub.peer()).change(8);
    expect(await ask()).toBe("memory");
    expect(await stack.metric('artoria_bridge_hub_messages_total{kind="changes"}')).toBe(2);
  });

  it("makes the bridge forget everything at a reset", async () => {
    await openKnowing7();
    await (await stack.edge.hub.peer()).change();
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(0);
    expect(await ask()).toBe("store");
    expect(await stack.metric('artoria_bridge_hub_messages_total{kind="reset"}')).toBe(1);
  });

  it("is dialled again when it is lost, and until then the edge answers", async () => {
    await openKnowing7();
    const hub = await stack.edge.hub.peer();
    stack.edge.hub.refusal = 503;
    hub.socket.terminate();
    await stack.holdsLease(false);
    const lines = stack.log.filter((line) => line.includes("hub_lost"));
    expect(lines.map((line) => JSON.parse(line).redialMs <= 250)).toEqual([true]);
    expect(await stack.metric("artoria_bridge_cache_sessions")).toBe(0);
    expect(await ask()).toBe("store");
    expect(await ask()).toBe("store");
    stack.edge.hub.refusal = undefined;
    await stack.holdsLease();
    expect(await ask()).toBe("store");
    expect(await ask()).toBe("memory");
  });

  it("answers nothing from memory when the lease was not renewed in time, and does again when it is", async () => {
    stack = await TestBridge.open({}, (edge) => {
      letIn(edge);
      edge.hub.boundMs = 500;
    });
    stack.edge.sessions.users.set(7, "kim");
    await stack.holdsLease();
    await ask();
    stack.edge.hub.grants = false;
    await stack.holdsLease(false);
    expect(await ask()).toBe("store");
    // The connection is still there: the hub has told every change, so what is kept is right once a lease is granted.
    stack.edge.hub.grants = true;
    await until(async () => (await ask()) === "memory");
    expect(stack.edge.hub.dials).toBe(1);
  });

  it("is closed and dialled again when the hub sends what is no message", async () => {
    await openKnowing7();
    const hub = await stack.edge.hub.peer();
    hub.socket.send(Buffer.from([200, 1, 2, 3]));
    expect(await hub.closed()).toBe(1002);
    await stack.edge.hub.peer(1);
    await stack.holdsLease();
    expect(await ask()).toBe("store");
  });

  it("is closed and dialled again when the hub says nothing for 10 s", async () => {
    stack = await TestBridge.open({}, (edge) => {
      letIn(edge);
      edge.hub.welcomes = false;
    });
    expect(await (await stack.edge.hub.peer()).closed()).toBe(1001);
    stack.edge.hub.welcomes = true;
    await stack.holdsLease();
  });

  it("is closed when the hub sends a frame that is too long", async () => {
    await openKnowing7();
    const hub = await stack.edge.hub.peer();
    hub.socket.send(new Uint8Array(64 * 1024));
    expect(await hub.closed()).toBe(1009);
    await stack.edge.hub.peer(1);
  });

  it("is closed when the bridge closes, and when it drains", async () => {
    await openKnowing7();
    const hub = await stack.edge.hub.peer();
    await stack.bridge.drain();
    expect(await hub.closed()).toBe(1000);
    expect(stack.edge.hub.dials).toBe(1);
  });
});

describe("an edge without leases", () => {
  it.each([401, 404, 426])(
    "that responds with %i is asked about everything, and the log says so once",
    async (status) => {
      stack = await TestBridge.open({}, (edge) => {
        edge.hub.refusal = status;
      });
      stack.edge.sessions.users.set(7, "kim");
      await until(() => stack.log.some((line) => line.includes("hub_refused")));
      expect(await ask()).toBe("store");
      expect(await ask()).toBe("store");
      expect(stack.log.filter((line) => line.includes(`HTTP status ${status}`))).toHaveLength(1);
      expect(stack.edge.hub.dials).toBe(1);
    },
  );

  it("that sends no keep block is asked about everything, also by a bridge that holds a lease", async () => {
    stack = await TestBridge.openWithLease();
    stack.edge.keepSeconds = undefined;
    stack.edge.sessions.users.set(7, "kim");
    expect(await ask()).toBe("store");
    expect(await ask()).toBe("store");
  });
});

it("a bridge that keeps no sessions neither dials the hub nor asks what it may keep", async () => {
  stack = await TestBridge.open({ BRIDGE_CACHE_SESSIONS: "0" }, letIn);
  stack.edge.sessions.users.set(7, "kim");
  expect(await ask()).toBe("store");
  expect(await ask()).toBe("store");
  expect(stack.edge.hub.dials).toBe(0);
  // A keep block that was not asked for would make the response a bad one.
  expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="ok"}')).toBe(2);
});
