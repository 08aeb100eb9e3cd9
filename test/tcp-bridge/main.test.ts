import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { Status } from "../../protocol/status-codes.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { gate, PacketEdge } from "../support/peers/packet-edge.ts";
import { runProgram } from "../support/processes/program.ts";
import { until } from "../support/until.ts";

/** How often a signal is sent again, until one counts as the second. */
const SIGNALS_APART_MS = 300;

let edge: PacketEdge;
let child: ChildProcess | undefined;
beforeEach(async () => {
  edge = await PacketEdge.open();
});
afterEach(async () => {
  child?.kill("SIGKILL");
  child = undefined;
  await edge.close();
});

/** A bridge in a process of its own; resolves when it is ready. */
async function startBridge(
  variables: Readonly<Record<string, string>> = {},
): Promise<{ port: number; readyz: () => Promise<number> }> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  child = spawn(process.execPath, ["tcp-bridge/main.ts"], {
    env: {
      PATH: process.env["PATH"],
      EDGE_URL: edge.url,
      API_KEY: edge.apiKey,
      BRIDGE_PORT: String(port),
      METRICS_PORT: String(metricsPort),
      ...variables,
    },
    stdio: "ignore",
  });
  const readyz = async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
    return response.status;
  };
  await until(() =>
    readyz().then(
      (status) => status === 200,
      () => false,
    ),
  );
  return { port, readyz };
}

describe("the bridge as a program", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "drains at %s: it is not ready, accepts no connections, responds to all requests, and exits with 0",
    async (signal) => {
      const { port, readyz } = await startBridge();
      const { fault, open } = gate();
      edge.faults.push(fault);
      const address = { address: "127.0.0.1", port, family: "IPv4" };
      const [asking, silent] = [await GamePeer.connect(address), await GamePeer.connect(address)];
      asking.send({ kind: "check", sessid: 7 });
      await until(() => edge.batches.length === 1);
      // It waits for the response to the first: received, but in no batch yet.
      asking.send({ kind: "count" });
      const exited = once(child as ChildProcess, "exit");
      child?.kill(signal);
      // A Ctrl-C under npm is two signals. Two of the same name could become one on their way.
      child?.kill(signal === "SIGINT" ? "SIGTERM" : "SIGINT");
      await until(async () => (await readyz()) === 503);
      await silent.untilEnded();
      silent.close();
      const late = connect(port, "127.0.0.1");
      const [refused] = await once(late, "error");
      expect(refused).toMatchObject({ code: "ECONNREFUSED" });
      open();
      const responses = await asking.untilEnded();
      expect(responses.map(({ kind, status }) => [kind, status])).toEqual([
        ["check", Status.NotFound],
        ["count", Status.Ok],
      ]);
      asking.close();
      expect(await exited).toEqual([0, null]);
    },
  );

  it("serves on for BRIDGE_DRAIN_MS, while a load balancer finds out that it is not ready; a second signal ends it at once", async () => {
    const { port, readyz } = await startBridge({ BRIDGE_DRAIN_MS: "30000" });
    const exited = once(child as ChildProcess, "exit");
    child?.kill("SIGTERM");
    await until(async () => (await readyz()) === 503);
    const late = await GamePeer.connect({ address: "127.0.0.1", port, family: "IPv4" });
    late.send({ kind: "check", sessid: 7 });
    expect(await late.received(1)).toMatchObject([{ kind: "check", status: Status.NotFound }]);
    const drainsSinceMs = performance.now();
    // Signals that come close together are one: npm passes on what the terminal sends too.
    const again = setInterval(() => child?.kill("SIGTERM"), SIGNALS_APART_MS);
    expect(await exited).toEqual([0, null]);
    clearInterval(again);
    expect(performance.now() - drainsSinceMs).toBeLessThan(20_000);
    late.close();
  });

  it("exits within 10 s also if a peer does not close its side", async () => {
    const { port } = await startBridge();
    const peer = await GamePeer.connect({ address: "127.0.0.1", port, family: "IPv4" }, "127.0.0.1", true);
    const exited = once(child as ChildProcess, "exit");
    const startMs = performance.now();
    child?.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    peer.close();
  });

  it("says in one line that a port is taken, and exits with 1", async () => {
    const variables = { EDGE_URL: edge.url, API_KEY: "secret-key", METRICS_PORT: "0", BRIDGE_PORT: String(edge.port) };
    const taken = await runProgram("tcp-bridge/main.ts", [], variables);
    expect(taken.exitCode).toBe(1);
    expect(taken.stderr).toMatch(/^artoria bridge: .*EADDRINUSE.*\n$/);
    const metrics = { ...variables, BRIDGE_PORT: "0", METRICS_PORT: String(edge.port) };
    const metricsTaken = await runProgram("tcp-bridge/main.ts", [], metrics);
    expect(metricsTaken).toMatchObject({ exitCode: 1, stderr: taken.stderr });
  });

  it("says in one line which variable is wrong, and exits with 1", async () => {
    const missing = await runProgram("tcp-bridge/main.ts", [], { EDGE_URL: edge.url });
    expect(missing.exitCode).toBe(1);
    expect(missing.stderr).toMatch(/^artoria bridge: API_KEY: .*\n$/);
    const open = await runProgram("tcp-bridge/main.ts", [], {
      EDGE_URL: edge.url,
      API_KEY: "k",
      BRIDGE_HOST: "0.0.0.0",
    });
    expect(open.exitCode).toBe(1);
    expect(open.stderr).toMatch(/^artoria bridge: BRIDGE_HOST: .*BRIDGE_ALLOW_PLAINTEXT=1\n$/);
  });
});
