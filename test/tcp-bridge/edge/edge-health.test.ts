import { afterEach, describe, expect, it } from "vitest";
import { PacketEdge } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

let stack: TestBridge;
afterEach(() => stack.close());

describe("the metrics port", () => {
  it("is ready while the edge is reachable and accepts the key", async () => {
    stack = await TestBridge.open();
    const { status, body } = await stack.watch("/readyz");
    expect([status, JSON.parse(body)]).toMatchObject([200, { ready: true }]);
    expect(await stack.watch("/healthz")).toMatchObject({ status: 200 });
    expect(await stack.watch("/")).toMatchObject({ status: 404 });
  });

  it("is not ready but alive when the edge does not accept the key, and says so", async () => {
    stack = await TestBridge.open({ API_KEY: "another-key" });
    const { status, body } = await stack.watch("/readyz");
    expect(status).toBe(503);
    expect(JSON.parse(body)).toMatchObject({ ready: false, reason: "edge_unauthenticated" });
    expect(stack.log.some((line) => line.includes("edge_unauthenticated"))).toBe(true);
    expect(stack.log.join("")).not.toContain("another-key");
    expect(await stack.watch("/healthz")).toMatchObject({ status: 200 });
  });

  it("is ready again when the edge is reachable again", async () => {
    stack = await TestBridge.open();
    const { port } = stack.edge;
    await stack.edge.close();
    await until(async () => (await stack.watch("/readyz")).body.includes("edge_unreachable"));
    const edge = await PacketEdge.open(port);
    await until(async () => (await stack.watch("/readyz")).status === 200);
    const peer = await stack.connect();
    peer.send({ kind: "check", sessid: 7 });
    expect(await peer.received(1)).toMatchObject([{ kind: "check" }]);
    await edge.close();
  });

  it("counts packets by type and status, and the batches", async () => {
    stack = await TestBridge.open();
    const peer = await stack.connect();
    peer.send({ kind: "check", sessid: 7 }, { kind: "check", sessid: 8 }, { kind: "count" });
    await peer.received(3);
    expect(await stack.metric('artoria_bridge_packets_total{type="check",status="NotFound"}')).toBe(2);
    expect(await stack.metric('artoria_bridge_packets_total{type="count",status="Ok"}')).toBe(1);
    expect(await stack.metric("artoria_bridge_batch_packets_sum")).toBe(3);
    expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="ok"}')).toBe(1);
    expect(await stack.metric("artoria_bridge_batches_in_flight")).toBe(0);
    expect(await stack.metric("artoria_bridge_connections")).toBe(1);
  });
});
