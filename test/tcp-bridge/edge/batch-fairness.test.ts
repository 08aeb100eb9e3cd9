import { afterEach, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { gate } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

let stack: TestBridge;
afterEach(() => stack.close());

function checks(count: number): ServiceRequest[] {
  return Array.from({ length: count }, (_, index) => ({ kind: "check", sessid: index + 1 }));
}

it("a batch takes the one packet of a connection, however many another connection sends", async () => {
  stack = await TestBridge.open({ BRIDGE_MAX_BATCHES_IN_FLIGHT: "1", BRIDGE_MAX_FAILURES_PER_MINUTE: "100000" });
  const { fault, open } = gate();
  stack.edge.faults.push(fault);
  const [flood, modest] = await Promise.all([stack.connect(), stack.connect()]);
  flood.send(...checks(20_000));
  await until(() => stack.edge.batches.length === 1);
  modest.send({ kind: "count" });
  await until(async () => (await stack.metric("artoria_bridge_packets_waiting")) === 1);
  open();
  await modest.received(1);
  expect(stack.edge.batches[1]).toContain("count");
  await flood.received(20_000);
  expect(Math.max(...stack.edge.batches.map((batch) => batch.length))).toBe(1000);
});

it("a batch is shared equally by connections that send floods", async () => {
  stack = await TestBridge.open({ BRIDGE_MAX_BATCHES_IN_FLIGHT: "1", BRIDGE_MAX_FAILURES_PER_MINUTE: "100000" });
  const { fault, open } = gate();
  stack.edge.faults.push(fault);
  const opener = await stack.connect();
  opener.send({ kind: "count" });
  await until(() => stack.edge.batches.length === 1);
  const [one, other] = await Promise.all([stack.connect(), stack.connect()]);
  one.send(...checks(3000));
  other.send(...Array.from({ length: 3000 }, () => ({ kind: "count" }) as const));
  await until(async () => ((await stack.metric("artoria_bridge_packets_waiting")) ?? 0) >= 2000);
  open();
  await Promise.all([one.received(3000), other.received(3000)]);
  expect(stack.edge.batches[1]?.filter((kind) => kind === "check")).toHaveLength(500);
  expect(stack.edge.batches[1]?.filter((kind) => kind === "count")).toHaveLength(500);
});
