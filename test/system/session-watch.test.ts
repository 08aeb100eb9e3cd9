import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Connector } from "../../client/connector.ts";
import { SessionWatch, type SessionWatchOptions, type WatchEvent } from "../../client/session-watch.ts";
import { Status } from "../../protocol/status-codes.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

/** SessionWatch against a real bridge and edge, over a network that fails. */
describe("a SessionWatch whose network fails", () => {
  let stack: RunningStack;
  let bridge: Bridge;
  let network: TcpProxy;
  let watch: SessionWatch | undefined;
  let losses: number;
  let told: WatchEvent[];
  let sessid = 1_000;

  beforeAll(async () => {
    stack = await startStackOn("embedded");
    const variables = { EDGE_URL: stack.edgeUrl, API_KEY: stack.apiKey, BRIDGE_PORT: "0", METRICS_PORT: "0" };
    bridge = await startBridge(parseBridgeConfig(variables), pino({ level: "silent" }));
  });
  afterAll(async () => {
    await bridge?.close();
    await stack?.close();
  });
  beforeEach(async () => {
    network = await TcpProxy.open(bridge.gameAddress.port);
    losses = 0;
    told = [];
  });
  afterEach(async () => {
    watch?.close();
    await network.close();
  });

  async function open(scope: SessionWatchOptions["scope"]): Promise<SessionWatch> {
    const connector = new Connector({ host: "127.0.0.1", port: network.port });
    const opened = await SessionWatch.open({ connector, scope, onInterrupted: () => losses++ });
    watch = opened;
    void (async () => {
      for await (const event of opened) told.push(event);
    })();
    return opened;
  }

  async function register(count: number): Promise<number[]> {
    const sessids = Array.from({ length: count }, () => ++sessid);
    for (const own of sessids) {
      expect((await askAsService(stack, "POST", "/v1/sessions", { user: "kim", sessid: own })).status).toBe(201);
    }
    return sessids;
  }

  async function end(...sessids: readonly number[]): Promise<void> {
    for (const ended of sessids)
      expect((await askAsService(stack, "DELETE", `/v1/sessions/${ended}`)).status).toBe(204);
  }

  /** Cuts the network, ends sessions meanwhile, and mends it. */
  async function endWhileCut(...sessids: readonly number[]): Promise<void> {
    const before = losses;
    network.refuse();
    await until(() => losses > before);
    await end(...sessids);
    network.restore();
  }

  const ends = (): number[] => told.flatMap((event) => (event.kind === "ended" ? event.sessid : []));

  test("tells of all ends once and in order, whenever they happened", async () => {
    await open("all");
    const sessids = await register(20);
    await end(...sessids.slice(0, 5));
    await until(() => ends().length === 5);
    await endWhileCut(...sessids.slice(5, 10));
    await end(...sessids.slice(10, 15));
    await endWhileCut(...sessids.slice(15));
    await until(() => ends().length >= 20);
    expect(ends()).toEqual(sessids);
  });

  test("knows its sessions again at each new connection", async () => {
    const known = await open("known");
    const [mine, foreign] = [await register(12), await register(12)];
    for (const own of mine) expect((await known.request({ kind: "check", sessid: own })).status).toBe(Status.Ok);
    for (const at of [0, 4, 8]) {
      await end(foreign[at] ?? 0, mine[at] ?? 0);
      await until(() => ends().includes(mine[at] ?? 0));
      await endWhileCut(foreign[at + 1] ?? 0, mine[at + 1] ?? 0);
      await until(() => ends().includes(mine[at + 1] ?? 0));
      await end(foreign[at + 2] ?? 0, mine[at + 2] ?? 0, foreign[at + 3] ?? 0, mine[at + 3] ?? 0);
      await until(() => ends().includes(mine[at + 3] ?? 0));
    }
    expect(ends().filter((ended) => mine.includes(ended))).toEqual(mine);
    // Of others it may be told what happened around a reconnect; nothing was lost before the first one.
    expect(ends()).not.toContain(foreign[0]);
  });
});
