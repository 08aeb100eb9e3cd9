import { afterEach, describe, expect, it } from "vitest";
import { Status } from "../../../protocol/status-codes.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../../protocol/versions.ts";
import { respond } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

let stack: TestBridge;
afterEach(() => stack.close());

const OWN = { version: PACKAGE_VERSION, protocol: WIRE_PROTOCOL_VERSION };

/** No lease: what the edge tells comes with batches alone. */
const open = () => TestBridge.open({ BRIDGE_CACHE_SESSIONS: "0" });

async function check(): Promise<number | undefined> {
  const peer = await stack.connect();
  peer.send({ kind: "check", sessid: 7 });
  const [response] = await peer.received(1);
  return response?.status;
}

async function readyz(): Promise<{ readonly status: number; readonly body: unknown }> {
  const { status, body } = await stack.watch("/readyz");
  return { status, body: JSON.parse(body) };
}

/** What was logged, except of connections. */
function lines(pattern = /version|protocol|edge/): { readonly level: number; readonly msg: string }[] {
  return stack.log
    .map((line) => JSON.parse(line) as { level: number; msg: string })
    .filter(({ level, msg }) => level >= 30 && msg !== "the bridge listens" && pattern.test(msg));
}

describe("the version of the edge", () => {
  it("and the bridge's are told with each batch, are on /readyz, and are no news if they fit", async () => {
    stack = await open();
    stack.edge.headers = { "X-Artoria-Edge": "7.8.9", "X-Artoria-Protocol": "1.99.0" };
    expect(await check()).toBe(Status.NotFound);
    expect(stack.edge.lastHeaders).toMatchObject({
      "x-artoria-bridge": PACKAGE_VERSION,
      "x-artoria-protocol": WIRE_PROTOCOL_VERSION,
    });
    const edge = { version: "7.8.9", protocol: "1.99.0" };
    expect(await readyz()).toEqual({ status: 200, body: { ready: true, ...OWN, edge } });
    expect(lines()).toEqual([]);
  });

  it("is unknown if it tells nothing, as before 0.2.0, and it fits", async () => {
    stack = await open();
    expect(await check()).toBe(Status.NotFound);
    const edge = { version: null, protocol: null };
    expect(await readyz()).toEqual({ status: 200, body: { ready: true, ...OWN, edge } });
    expect(lines()).toEqual([]);
  });

  it.each([
    ["2.0.0", "upgrade the bridge"],
    ["0.9.0", "upgrade the edge"],
  ])(
    "makes the bridge read no response if its wire protocol is %s, which is logged once: %s",
    async (protocol, advice) => {
      stack = await open();
      stack.edge.sessions.users.set(7, "kim");
      stack.edge.headers = { "X-Artoria-Edge": "3.1.4", "X-Artoria-Protocol": protocol };
      for (let turn = 0; turn < 3; turn++) expect(await check()).toBe(Status.Unavailable);
      // No batch was posted a second time.
      expect(stack.edge.batches).toHaveLength(3);
      const edge = { version: "3.1.4", protocol };
      expect(await readyz()).toEqual({ status: 503, body: { ready: false, reason: "edge_version", ...OWN, edge } });
      expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="edge_version"}')).toBe(3);
      const msg = `the edge speaks wire protocol ${protocol}, this bridge ${WIRE_PROTOCOL_VERSION}: ${advice}`;
      expect(lines()).toMatchObject([{ level: 50, code: "edge_version", msg, ...OWN, edge }]);

      stack.edge.headers = { "X-Artoria-Edge": "3.1.5", "X-Artoria-Protocol": "1.0.0" };
      expect(await check()).toBe(Status.Ok);
      await until(async () => (await readyz()).status === 200);
      expect(lines()).toMatchObject([{ msg }, { level: 30, msg: expect.stringContaining("again") }]);
    },
  );

  it("is what a refusal says too", async () => {
    stack = await open();
    stack.edge.headers = { "X-Artoria-Protocol": "2.0.0" };
    stack.edge.fault = respond(400, JSON.stringify({ code: "invalid" }));
    expect(await check()).toBe(Status.Unavailable);
    expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="edge_version"}')).toBe(1);
  });

  it("is not forgotten for an error of a proxy that tells none", async () => {
    stack = await open();
    stack.edge.headers = { "X-Artoria-Protocol": "2.0.0" };
    await check();
    stack.edge.headers = {};
    stack.edge.fault = respond(503, "a proxy");
    expect(await check()).toBe(Status.Unavailable);
    expect(await stack.metric('artoria_bridge_edge_seconds_count{outcome="edge_status"}')).toBe(2);
    expect(lines(/protocol/)).toMatchObject([{ msg: expect.stringContaining("upgrade the bridge") }]);
  });

  it.each([
    ["no version", "latest"],
    ["a version of eight thousand digits", `2.${"0".repeat(8000)}.0`],
    ["a version behind a space without width", "2\u00a0.0.0"],
    ["the bytes of UTF-8", Buffer.from("٢.0.0").toString("latin1")],
    ["two of them", ["2.0.0", "3.0.0"]],
    ["a line of JSON", '{"level":60}'],
    ["nothing", ""],
  ])("counts as unknown if it is %s, and goes nowhere", async (_, value) => {
    stack = await open();
    stack.edge.headers = { "X-Artoria-Edge": value === "latest" ? "a b" : value, "X-Artoria-Protocol": value };
    expect(await check()).toBe(Status.NotFound);
    const edge = { version: null, protocol: null };
    expect(await readyz()).toEqual({ status: 200, body: { ready: true, ...OWN, edge } });
    expect(lines()).toEqual([]);
  });

  it("is logged once for each part to upgrade, and is no label, however many versions are told", async () => {
    stack = await open();
    const peer = await stack.connect();
    for (let index = 0; index < 300; index++) {
      stack.edge.headers = { "X-Artoria-Edge": `9.0.${index}`, "X-Artoria-Protocol": `${(index % 2) * 2}.0.${index}` };
      peer.send({ kind: "check", sessid: index });
      await peer.received(index + 1);
    }
    expect(lines().map(({ msg }) => msg.split(": ")[1])).toEqual(["upgrade the edge", "upgrade the bridge"]);
    const { body } = await stack.watch("/metrics");
    expect(body).not.toMatch(/9\.0\.\d/);
    expect(body).not.toContain("0.0.298");
  });
});

describe("the version of an edge that offers leases", () => {
  it("is told with the upgrade, before anybody asks for anything", async () => {
    stack = await TestBridge.open({}, (edge) => {
      edge.hub.refusal = undefined;
      edge.hub.headers.push("X-Artoria-Edge: 7.8.9", "X-Artoria-Protocol: 1.2.0");
    });
    await stack.holdsLease();
    expect((await stack.edge.hub.peer()).headers["x-artoria-protocol"]).toBe(WIRE_PROTOCOL_VERSION);
    expect(lines(/protocol/)).toEqual([]);
  });

  it.each([
    ["takes the bridge's connection", undefined],
    ["refuses it", 400],
  ])("does not fit: the bridge holds no lease, whether the edge %s or not, and dials seldom", async (_, refusal) => {
    stack = await TestBridge.open({}, (edge) => {
      edge.hub.refusal = refusal;
      edge.hub.headers.push("X-Artoria-Edge: 9.0.0", "X-Artoria-Protocol: 2.0.0");
    });
    const lost = 'artoria_bridge_hub_disconnects_total{code="hub_version"}';
    await until(async () => (await stack.metric(lost)) === 1);
    expect(await stack.metric("artoria_bridge_lease_held")).toBe(0);
    const said = lines(/protocol|lease/);
    expect(said).toMatchObject([{ msg: expect.stringContaining("upgrade the bridge") }, { code: "hub_version" }]);
    expect((said[1] as unknown as { redialMs: number }).redialMs).toBeGreaterThanOrEqual(30_000);
    expect(stack.edge.hub.dials).toBe(1);
  });
});
