import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { freePort } from "../../../dev/free-port.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { GamePeer } from "../../support/peers/game-peer.ts";
import { PacketEdge } from "../../support/peers/packet-edge.ts";
import { Program } from "../../support/processes/program.ts";
import { until } from "../../support/until.ts";

const BOUND_MS = 1_000;
const SESSID = 7;

let edge: PacketEdge;
let program: Program;
let peer: GamePeer;

beforeEach(async () => {
  edge = await PacketEdge.open();
  edge.hub.refusal = undefined;
  edge.hub.boundMs = BOUND_MS;
  edge.keepSeconds = 30;
  edge.sessions.users.set(SESSID, "kim");
  const port = await freePort();
  program = Program.node("tcp-bridge/main.ts", [], {
    ...{ EDGE_URL: edge.url, API_KEY: edge.apiKey, BRIDGE_PORT: String(port), METRICS_PORT: "0" },
  });
  peer = await until(() => GamePeer.connect({ address: "127.0.0.1", port, family: "IPv4" }));
});

afterEach(async () => {
  peer.close();
  await program.kill();
  await edge.close();
});

/** The status of a check, and whether the edge was asked for it. */
async function check(): Promise<{ readonly status: Status | undefined; readonly source: "memory" | "store" }> {
  const { length: before } = peer.responses;
  const { length: batches } = edge.batches;
  peer.send({ kind: "check", sessid: SESSID });
  const status = (await peer.received(before + 1))[before]?.status;
  return { status, source: edge.batches.length === batches ? "memory" : "store" };
}

it("a bridge that was stopped for longer than the bound answers nothing by the lease that it held before", async () => {
  await until(async () => (await check()).source === "memory");
  program.signal("SIGSTOP");
  const { length: before } = peer.responses;
  const { length: batches } = edge.batches;
  // The system receives it for the bridge.
  peer.send({ kind: "check", sessid: SESSID });
  edge.sessions.users.delete(SESSID);
  // As a delete does that no bridge acknowledges.
  await pause(BOUND_MS);
  program.signal("SIGCONT");
  expect((await peer.received(before + 1))[before]?.status).toBe(Status.NotFound);
  expect(edge.batches.slice(batches)).toContainEqual(["check"]);
  // It holds a lease again: the session is kept once it is valid.
  edge.sessions.users.set(SESSID, "kim");
  await until(async () => (await check()).source === "memory");
});
