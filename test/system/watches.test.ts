import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import type { WatchNotice } from "../../protocol/watch-packets.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { askAsService, type RunningStack, STORES, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

describe.each(STORES)("a watch at a bridge, with the %s store,", (store) => {
  let stack: RunningStack;
  const bridges: Bridge[] = [];
  const peers: GamePeer[] = [];
  let sessid = 1_000;

  beforeAll(async () => {
    stack = await startStackOn(store, { SESSION_LOG_ENTRIES: "100" });
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.close();
    await Promise.all(bridges.splice(0).map((bridge) => bridge.close()));
  });
  afterAll(() => stack?.close());

  async function openBridge(edgeUrl = stack.edgeUrl): Promise<Bridge> {
    const variables = { EDGE_URL: edgeUrl, API_KEY: stack.apiKey, BRIDGE_PORT: "0", METRICS_PORT: "0" };
    const bridge = await startBridge(parseBridgeConfig(variables), pino({ level: "silent" }));
    bridges.push(bridge);
    return bridge;
  }

  async function connect(bridge: Bridge): Promise<GamePeer> {
    const peer = await GamePeer.connect(bridge.gameAddress);
    peers.push(peer);
    return peer;
  }

  /** A new session of kim, registered over HTTP. */
  async function register(user = "kim"): Promise<number> {
    sessid += 1;
    const own = sessid;
    expect((await askAsService(stack, "POST", "/v1/sessions", { user, sessid: own })).status).toBe(201);
    return own;
  }

  async function end(ended: number): Promise<void> {
    expect((await askAsService(stack, "DELETE", `/v1/sessions/${ended}`)).status).toBe(204);
  }

  test("tells the ends that anybody causes, with reason, user and time", async () => {
    const peer = await connect(await openBridge());
    await peer.watch("all");
    const before = Date.now();
    const ended = await register("kim");
    const others = [await register("lee"), await register("lee")];
    await end(ended);
    expect((await askAsService(stack, "DELETE", "/v1/users/lee/sessions")).status).toBe(200);
    const notices = endsOf(await peer.told(3));
    expect(notices[0]).toMatchObject({ reason: "deleted", sessid: ended, user: "kim" });
    expect(
      notices
        .map((notice) => notice.sessid)
        .slice(1)
        .toSorted(),
    ).toEqual(others.toSorted());
    for (const { at } of notices) expect(at).toBeGreaterThanOrEqual(before);
  });

  test("tells of an expiry that nobody caused", async () => {
    const peer = await connect(await openBridge());
    await peer.watch("all");
    const body = { user: "kim", sessid: ++sessid, ttlSeconds: 1 };
    expect((await askAsService(stack, "POST", "/v1/sessions", body)).status).toBe(201);
    expect((await peer.told(1))[0]).toMatchObject({ kind: "ended", reason: "expired", sessid });
  });

  test("of the known sessions tells those, and is followed by no Ok", async () => {
    const [first, second] = [await openBridge(), await openBridge()];
    const [peer, other] = [await connect(first), await connect(second)];
    await peer.watch("known");
    await other.watch("known");
    for (let round = 1; round <= 20; round++) {
      const [mine, foreign] = [await register(), await register()];
      peer.send({ kind: "check", sessid: mine }, { kind: "check", sessid: mine });
      other.send({ kind: "check", sessid: foreign });
      await peer.received(peer.responses.length + 2);
      await other.received(1 + round);
      await Promise.all([end(foreign), end(mine)]);
      await peer.told(round);
      peer.send({ kind: "check", sessid: mine });
      expect((await peer.received(1 + 3 * round)).at(-1)).toEqual({ kind: "check", status: Status.NotFound });
      expect(peer.notices.at(-1)).toMatchObject({ sessid: mine });
    }
    expect(peer.notices).toHaveLength(20);
  });

  test("goes on at another bridge from the server's position, without a gap and without a repetition", async () => {
    const [first, second] = [await openBridge(), await openBridge()];
    const before = await connect(first);
    await before.watch("all");
    const sessids: number[] = [];
    for (let index = 0; index < 30; index++) sessids.push(await register());
    for (const ended of sessids.slice(0, 5)) await end(ended);
    const position = (await before.told(5)).at(-1)?.position ?? "";
    await first.close();
    for (const ended of sessids.slice(5, 15)) await end(ended);
    const after = await connect(second);
    const [response] = await Promise.all([after.watch("all", position), ...sessids.slice(15, 25).map(end)]);
    expect(response).toMatchObject({ status: Status.Ok, position });
    for (const ended of sessids.slice(25)) await end(ended);
    await after.told(25);
    const told = endsOf(after.notices).map((notice) => notice.sessid);
    expect(told.slice(0, 10)).toEqual(sessids.slice(5, 15));
    expect(told.toSorted()).toEqual(sessids.slice(5).toSorted());
    expect(told.slice(20)).toEqual(sessids.slice(25));
  });

  test("misses no end and repeats none, though servers move between bridges and a bridge loses its edge", async () => {
    const proxy = await TcpProxy.open(Number(new URL(stack.edgeUrl).port));
    const homes = [await openBridge(), await openBridge(`http://127.0.0.1:${proxy.port}`)];
    const { next: begin } = await eventsAfter(null);
    const servers = Array.from({ length: 6 }, () => new MovingServer(homes, begin));
    await Promise.all(servers.map((server) => server.move()));
    // Three writers, in the middle of whose work each server moves three times.
    let ends = 0;
    const write = async (): Promise<void> => {
      for (let index = 0; index < 15; index++) {
        await end(await register(`user-${index}`));
        ends += 1;
      }
    };
    const moving = servers.map(async (server, index) => {
      for (let moves = 1; moves <= 3; moves++) {
        await until(() => ends > moves * 10 + index);
        if (index % 3 === 0) proxy.cut();
        await server.move();
      }
    });
    await Promise.all([write(), write(), write(), ...moving]);
    const { sessids } = await eventsAfter(begin);
    expect(sessids).toHaveLength(45);
    for (const server of servers) {
      await until(() => server.told.length >= 45);
      expect(server.told).toEqual(sessids);
      server.close();
    }
    await proxy.close();
  });

  /** The sessions that ended after a position, in the order of the log, and its end. */
  async function eventsAfter(after: string | null): Promise<{ sessids: readonly number[]; next: string }> {
    const query = after === null ? "" : `&limit=1000&after=${after}`;
    const response = await fetch(`${stack.edgeUrl}/v1/events?kinds=ended${query}`, {
      headers: { Authorization: `Bearer ${stack.apiKey}`, Accept: "application/json" },
    });
    const { events, next } = (await response.json()) as { events: { sessid: number }[]; next: string };
    return { sessids: events.map(({ sessid: ended }) => ended), next };
  }

  test("from a position that has left the log is NotFound, and goes on from the position that it names", async () => {
    const peer = await connect(await openBridge());
    const { position } = await peer.watch("all");
    // An entry each, and Redis removes them in blocks.
    for (let round = 0; round < 16; round++) {
      await Promise.all(Array.from({ length: 10 }, async () => end(await register())));
    }
    const other = await connect(await openBridge());
    const response = await other.watch("all", position);
    expect(response.status).toBe(Status.NotFound);
    const next = await register();
    await end(next);
    expect(await other.watch("all", response.position)).toMatchObject({ status: Status.Ok });
    expect(endsOf(await other.told(1))[0]).toMatchObject({ sessid: next });
  });

  test("is Unavailable while the edge cannot be reached; one that is there goes on when it can", async () => {
    const proxy = await TcpProxy.open(Number(new URL(stack.edgeUrl).port));
    try {
      const bridge = await openBridge(`http://127.0.0.1:${proxy.port}`);
      const [peer, other] = [await connect(bridge), await connect(bridge)];
      await peer.watch("all");
      const sessids = [await register(), await register(), await register()];
      await end(sessids[0] ?? 0);
      await peer.told(1);
      proxy.refuse();
      await until(async () => (await other.watch("all")).status === Status.Unavailable);
      await end(sessids[1] ?? 0);
      proxy.restore();
      await peer.told(2);
      await end(sessids[2] ?? 0);
      expect(endsOf(await peer.told(3)).map((notice) => notice.sessid)).toEqual(sessids);
      await until(async () => (await other.watch("all")).status === Status.Ok);
    } finally {
      await proxy.close();
    }
  });
});

function endsOf(notices: readonly WatchNotice[]) {
  return notices.filter((notice) => notice.kind === "ended");
}

/** A game server that watches all sessions, and goes on at another bridge from its position. */
class MovingServer {
  readonly told: number[] = [];
  readonly #homes: readonly Bridge[];
  #position: string;
  #moves = 0;
  #peer: GamePeer | undefined;
  /** How many notices of the peer were read. */
  #read = 0;

  constructor(homes: readonly Bridge[], position: string) {
    this.#homes = homes;
    this.#position = position;
  }

  async move(): Promise<void> {
    this.close();
    this.#moves += 1;
    await until(async () => {
      const home = this.#homes[this.#moves % this.#homes.length];
      if (home === undefined) throw new Error("a server needs a bridge");
      const peer = await GamePeer.connect(home.gameAddress);
      const { status } = await peer.watch("all", this.#position);
      if (status !== Status.Ok) {
        peer.close();
        return false;
      }
      this.#peer = peer;
      this.#read = 0;
      peer.socket.on("data", () => this.#readOn());
      this.#readOn();
      return true;
    });
  }

  close(): void {
    this.#readOn();
    this.#peer?.close();
    this.#peer = undefined;
  }

  #readOn(): void {
    const notices = this.#peer?.notices.slice(this.#read) ?? [];
    this.#read += notices.length;
    for (const notice of notices) {
      this.#position = notice.position;
      if (notice.kind === "ended") this.told.push(notice.sessid);
    }
  }
}
